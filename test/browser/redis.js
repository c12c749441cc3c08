// As much of Redis' protocol as the tests need: one command, one answer.

import { connect } from 'node:net';

/**
 * @param {string} addr host:port
 * @param {...string} command
 * @returns {Promise<any>} a string, a number, null, or an array of these
 */
export async function redis(addr, ...command) {
  const [host, port] = addr.split(':');
  const socket = connect(Number(port), host);
  socket.setEncoding('utf8');
  socket.write(`*${command.length}\r\n${command.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`);
  try {
    let said = '';
    for await (const data of socket) {
      said += data;
      const answer = parse(said.split('\r\n'));
      if (answer) return answer.value;
    }
    throw new Error('redis ended the connection');
  } finally {
    socket.destroy();
  }
}

/** The first value of these lines and the lines after it; null when it is not all there yet. */
function parse([head, ...rest]) {
  if (rest.length === 0) return null;
  const value = head.slice(1);
  switch (head[0]) {
    case '+':
      return { value, rest };
    case '-':
      throw new Error(`redis: ${value}`);
    case ':':
      return { value: Number(value), rest };
    case '$':
      if (value === '-1') return { value: null, rest };
      return rest.length > 1 ? { value: rest[0], rest: rest.slice(1) } : null;
    case '*': {
      const values = [];
      for (let i = 0; i < Number(value); i++) {
        const next = parse(rest);
        if (!next) return null;
        values.push(next.value);
        rest = next.rest;
      }
      return { value: values, rest };
    }
  }
  throw new Error(`redis said ${head}`);
}
