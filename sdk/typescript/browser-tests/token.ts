import { createHmac } from 'node:crypto';

export const SECRET = 'a secret of at least 32 bytes, for tests';

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A JWT for this user, who alone may read `user:NAME`. */
export function token(user: string, seconds = 3600): string {
  const claims = {
    sub: user,
    exp: Math.floor(Date.now() / 1000) + seconds,
    grants: [{ channels: ['user:{sub}'], allow: ['subscribe', 'publish', 'history'] }],
  };
  const signed = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode(claims)}`;
  return `${signed}.${createHmac('sha256', SECRET).update(signed).digest('base64url')}`;
}

/** Authenticated users may do everything in channels without a namespace; `user:` is by grant alone. */
export const CONFIG = `[auth]
hmac_secret = "${SECRET}"
api_keys = [{ name = "backend", key = "a-key-for-the-backend" }]
[namespaces.default]
presence = true
authenticated = ["subscribe", "publish", "presence", "enter", "history"]
[namespaces.user]
`;

export const BACKEND = { authorization: 'Bearer a-key-for-the-backend' };
