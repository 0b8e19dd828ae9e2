// An OpenID Connect provider for tests: the certified `oidc-provider` with two public native clients, a few people, and
// a back door under /test for what a provider does in years: new keys, shorter tokens, and forgeries made of its own key.
//
// usage: node provider.mjs NODE_MODULES PORT [CERTIFICATE KEY]
import { createHmac, createPublicKey, generateKeyPairSync, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [modules, port, certificate, key] = process.argv.slice(2);
const { Provider } = await import(pathToFileURL(join(modules, 'oidc-provider/lib/index.js')));
const issuer = `${certificate ? 'https' : 'http'}://127.0.0.1:${port}`;

const people = {
  ada: { name: 'Ada Lovelace', email: 'ada@acme.example', groups: ['staff', 'acme-admins'], org: 'acme' },
  bob: { name: 'Bob', email: 'bob@acme.example', groups: ['staff'], org: 'acme' },
  olga: { name: 'Olga', email: 'olga@ops.example', groups: ['platform-ops'] },
  eve: { name: 'Eve', email: 'eve@elsewhere.example', groups: ['guests'], org: 'nowhere' },
};

const keyTypes = {
  RS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  PS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  EdDSA: () => generateKeyPairSync('ed25519'),
};

let state;
let keySets = 0;

function setUp({ alg = 'RS256', idTokenSeconds = 300 } = {}) {
  const jwk = { ...keyTypes[alg]().privateKey.export({ format: 'jwk' }), alg, use: 'sig', kid: randomUUID() };
  const client = (client_id) => ({
    client_id,
    application_type: 'native',
    token_endpoint_auth_method: 'none',
    redirect_uris: ['http://127.0.0.1/callback'],
    response_types: ['code'],
    grant_types: ['authorization_code', 'urn:ietf:params:oauth:grant-type:device_code'],
    id_token_signed_response_alg: alg,
  });
  const provider = new Provider(issuer, {
    clients: [client('keywright'), client('another')],
    jwks: { keys: [jwk] },
    enabledJWA: { idTokenSigningAlgValues: Object.keys(keyTypes) },
    cookies: { keys: ['of a test'] },
    claims: {
      openid: ['sub'], profile: ['name'], email: ['email', 'email_verified'], groups: ['groups'], org: ['org'],
    },
    // The claims of the scopes stand in the ID token.
    conformIdTokenClaims: false,
    findAccount: (_ctx, id) => people[id] && { accountId: id, claims: () => ({ sub: id, email_verified: true, ...people[id] }) },
    features: { devInteractions: { enabled: true }, deviceFlow: { enabled: true } },
    ttl: { IdToken: idTokenSeconds, AccessToken: 60, DeviceCode: 300, Interaction: 300, Session: 300, Grant: 300 },
  });
  provider.on('server_error', (_ctx, error) => console.error(error));
  state = { jwk, handle: provider.callback() };
}

const base64url = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

// What an attacker would make of the public key.
function forge({ alg, claims }) {
  const now = Math.floor(Date.now() / 1000);
  const payload = base64url({ iss: issuer, aud: 'keywright', iat: now, exp: now + 300, ...claims });
  const signed = `${base64url({ alg, kid: state.jwk.kid, typ: 'JWT' })}.${payload}`;
  if (alg === 'none') return `${signed}.`;
  const secret = createPublicKey({ key: state.jwk, format: 'jwk' }).export({ format: 'pem', type: 'spki' });
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}

async function backDoor(request, response) {
  let body = '';
  for await (const chunk of request) body += chunk;
  const asked = body ? JSON.parse(body) : {};
  const answer = {
    '/test/set-up': () => setUp(asked) ?? {},
    '/test/forge': () => ({ token: forge(asked) }),
    '/test/key-sets': () => ({ count: keySets }),
  }[request.url];
  response.writeHead(answer ? 200 : 404, { 'content-type': 'application/json' });
  response.end(JSON.stringify(answer ? answer() : {}));
}

setUp();
function serve(request, response) {
  if (request.url.startsWith('/test/')) return void backDoor(request, response);
  if (request.url === '/jwks') keySets += 1;
  state.handle(request, response);
}

const server = certificate
  ? createTlsServer({ cert: readFileSync(certificate), key: readFileSync(key) }, serve)
  : createServer(serve);
server.listen(Number(port), '127.0.0.1');
