// A small OpenID Connect provider, which logs in whoever its cookie names. It is another site than the chat: localhost.

import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { createServer } from 'node:http';
import { after } from 'node:test';

/**
 * Starts a provider. `variables` are chatd's; `chat`, to be set, is where people are sent back to: its port is not known
 * when chatd starts.
 */
export async function startProvider() {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  /** @type {Map<string, URLSearchParams>} what was asked for, by its code */
  const asked = new Map();
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '', provider.issuer);
    const answer = (body) => {
      response.setHeader('Content-Type', 'application/json');
      response.end(JSON.stringify(body));
    };
    switch (url.pathname) {
      case '/.well-known/openid-configuration':
        return answer({
          issuer: provider.issuer,
          authorization_endpoint: `${provider.issuer}/authorize`,
          token_endpoint: `${provider.issuer}/token`,
          jwks_uri: `${provider.issuer}/keys`,
        });
      case '/keys':
        return answer({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'k1', alg: 'RS256' }] });
      case '/authorize': {
        const code = randomBytes(16).toString('hex');
        asked.set(code, url.searchParams);
        const back = new URL('/login/oidc/callback', provider.chat);
        back.search = String(new URLSearchParams({ code, state: url.searchParams.get('state') ?? '' }));
        return response.writeHead(303, { Location: String(back) }).end();
      }
      default: {
        let form = '';
        request.on('data', (data) => (form += data));
        request.on('end', () => {
          const query = asked.get(new URLSearchParams(form).get('code') ?? '');
          const now = Math.floor(Date.now() / 1000);
          const part = (/** @type {unknown} */ value) => Buffer.from(JSON.stringify(value)).toString('base64url');
          const token = [
            { alg: 'RS256', kid: 'k1' },
            {
              iss: provider.issuer,
              sub: provider.person,
              aud: 'chatd',
              iat: now,
              exp: now + 60,
              auth_time: now,
              nonce: query?.get('nonce'),
              preferred_username: provider.person,
            },
          ]
            .map(part)
            .join('.');
          const signature = sign('sha256', Buffer.from(token), privateKey).toString('base64url');
          answer({ access_token: 'x', token_type: 'Bearer', id_token: `${token}.${signature}` });
        });
      }
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  const provider = {
    issuer: `http://localhost:${port}`,
    /** Who is logged in there. */
    person: 'somebody',
    chat: '',
    /** @type {Record<string, string>} */
    variables: {
      CHATD_OIDC_ISSUER: `http://localhost:${port}`,
      CHATD_OIDC_CLIENT_ID: 'chatd',
      CHATD_OIDC_NAME: 'Example',
      CHATD_PUBLIC_URL: 'http://chat.test',
    },
  };
  after(() => {
    server.closeAllConnections();
    server.close();
  });
  return provider;
}
