// A whole chatd for the tests: Redis, three instances and HAProxy on free ports, by the command behind `make up`.

import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** The most that starting may take: it may have to build, in milliseconds. */
const START_MS = 120_000;

/**
 * Builds and starts a system; an instance that is killed is started again by itself after about a second.
 * @param {Record<string, string>} [variables] CHATD_… for the instances
 */
export async function startSystem(variables = {}) {
  const dir = mkdtempSync(join(tmpdir(), 'chatd-browser-'));
  // Always in one place: what is built there already is not built again. `npm run browser` does so first, for several
  // files start at a time, and none is to build what another one is about to run.
  execFileSync('go', ['build', '-o', 'bin/', './cmd/up', './cmd/chatd'], { cwd: ROOT, stdio: 'inherit' });
  const args = ['-addr', '127.0.0.1:0', '-dir', dir, '-chatd', join(ROOT, 'bin', 'chatd'), '-until-eof'];
  const up = spawn(join(ROOT, 'bin', 'up'), args, { cwd: ROOT, env: { ...process.env, ...variables } });
  let said = '';
  up.stderr.on('data', (data) => (said += data));
  const ended = new Promise((resolve) => up.once('close', resolve));
  await new Promise((resolve, reject) => {
    const fail = (why) => reject(new Error(`the system did not start: ${why}\n${said}`));
    const timer = setTimeout(() => fail('it takes too long'), START_MS);
    up.once('error', (err) => fail(err.message));
    up.once('close', () => fail('it ended'));
    up.stdout.on('data', (data) => {
      said += data;
      if (!said.includes('chatd is up')) return;
      clearTimeout(timer);
      resolve();
    });
  });

  const state = () => JSON.parse(readFileSync(join(dir, 'up.json'), 'utf8'));
  /** @returns {{name: string, addr: string, pid: number}} */
  const instance = (name) => state().instances.find((each) => each.name === name);
  return {
    /** Where people connect: HAProxy. */
    url: state().url,
    instance,
    instances: () => state().instances,
    /** @returns {{addr: string, pid: number}} */
    redis: () => state().redis,
    /** Where Redis keeps its data. */
    redisDir: join(dir, 'redis'),
    /** Sends a signal to an instance. */
    signal: (name, signal) => {
      const { pid } = instance(name);
      if (pid === 0) throw new Error(`${name} does not run`); // 0 would be the test itself, and all that it started
      process.kill(pid, signal);
    },
    /** Ends everything and waits for it. */
    async stop() {
      up.stdin.end();
      await ended;
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
