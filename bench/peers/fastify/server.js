// Portal's hottest routes as a Fastify service would be written: better-sqlite3 or pg, fast-jwt, native bcrypt, compiled reply schemas, a
// cluster of two workers.
//
// It works on the database that `bench/seed` made, so schema, rows, indexes, tokens and codes are Muster's, and a request file made for
// one is good for the other.  SQLite: WAL, synchronous=FULL, prepared statements.  PostgreSQL: a pool, named statements.  Statistics
// are kept for ten seconds, as Muster does.
//
// Started by bench/peers.mjs:  PEER='{…}' PORT=… node server.js
import cluster from 'node:cluster';
import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { compare, hash } from '@node-rs/bcrypt';
import Database from 'better-sqlite3';
import jwt from 'fast-jwt';
import Fastify from 'fastify';
import pg from 'pg';

const { createDecoder, createSigner, createVerifier } = jwt;
const WORKERS = 2, DAY = 86400_000;
const peer = JSON.parse(process.env.PEER); // postgres {host,user,database} or sqlite (a path), access_kid, access_key, qr_key (hex), issuer, audience
const onPostgres = 'postgres' in peer;

// --- the database -------------------------------------------------------------------------------------------------------------

const time = onPostgres ? (ms) => new Date(ms) : (ms) => new Date(ms).toISOString().replace('T', ' ').replace('Z', '000');
const iso = (at) => (at === null ? null : typeof at === 'string' ? at.replace(' ', 'T') + 'Z' : at.toISOString());

// One shape for both: tx.get(sql, …) → row or undefined, tx.all(sql, …), tx.run(sql, …) → rows changed.  `$1` parameters.
function sqlite() {
  const db = new Database(peer.sqlite, { timeout: 30000 });
  for (const pragma of ['journal_mode=WAL', 'synchronous=FULL', 'cache_size=-65536', 'foreign_keys=ON']) db.pragma(pragma);
  const prepared = new Map();
  const statement = (sql) => {
    if (!prepared.has(sql)) prepared.set(sql, db.prepare(sql));
    return prepared.get(sql);
  };
  const bind = (args) => Object.fromEntries(args.map((value, i) => [String(i + 1), typeof value === 'boolean' ? Number(value) : value]));
  const tx = {
    get: (sql, ...args) => statement(sql).get(bind(args)),
    all: (sql, ...args) => statement(sql).all(bind(args)),
    run: (sql, ...args) => statement(sql).run(bind(args)).changes,
  };
  return {
    read: (work) => work(tx),
    // The driver is synchronous, so awaiting inside a transaction must not give way to another request: the callbacks never do.
    write: async (work) => {
      db.exec('BEGIN IMMEDIATE');
      try {
        const result = work.sync(tx);
        db.exec('COMMIT');
        return result;
      } catch (e) {
        db.exec('ROLLBACK');
        throw e;
      }
    },
  };
}

function postgres() {
  const pool = new pg.Pool({ ...peer.postgres, max: 10 });
  const names = new Map();
  const over = (client) => {
    const query = (text, values) => {
      if (!names.has(text)) names.set(text, `s${names.size}`);
      return client.query({ name: names.get(text), text, values });
    };
    return {
      get: async (sql, ...args) => (await query(sql, args)).rows[0],
      all: async (sql, ...args) => (await query(sql, args)).rows,
      run: async (sql, ...args) => (await query(sql, args)).rowCount,
    };
  };
  return {
    read: (work) => work(over(pool)),
    write: async (work) => {
      const client = await pool.connect();
      try {
        await client.query('BEGIN');
        const result = await work(over(client));
        await client.query('COMMIT');
        return result;
      } catch (e) {
        await client.query('ROLLBACK');
        throw e;
      } finally {
        client.release();
      }
    },
  };
}

// A unit of work is a generator that yields what the driver returns: stepped at once on SQLite, awaited on PostgreSQL.
function unit(steps) {
  const work = async (tx) => {
    const it = steps(tx);
    for (let r = it.next(); ; r = it.next(await r.value)) if (r.done) return r.value;
  };
  work.sync = (tx) => {
    const it = steps(tx);
    for (let r = it.next(); ; r = it.next(r.value)) if (r.done) return r.value;
  };
  return work;
}

function newId() { // UUID of version 7, so that indexes grow at their end
  const b = randomBytes(16);
  b.writeUIntBE(Date.now(), 0, 6);
  b[6] = (b[6] & 0x0f) | 0x70;
  b[8] = (b[8] & 0x3f) | 0x80;
  const h = b.toString('hex');
  return `${h.slice(0, 8)}-${h.slice(8, 12)}-${h.slice(12, 16)}-${h.slice(16, 20)}-${h.slice(20)}`;
}

class Refusal extends Error {
  constructor(statusCode, code) {
    super(code);
    Object.assign(this, { statusCode, code });
  }
}

// --- statements ---------------------------------------------------------------------------------------------------------------

const WHO = `SELECT u.id, u.email, u.full_name, u.role, u.is_active, u.created_at FROM sessions s JOIN users u ON u.id = s.user_id
 WHERE s.id = $1 AND u.id = $2 AND s.revoked_at IS NULL AND s.expires_at > $3 AND u.is_active`;
const CODE = `SELECT q.token, q.expires_at, q.is_revoked, e.id, e.title, e.scheduled_at, e.ends_at, e.is_deleted, r.id AS record_id,
 EXISTS (SELECT 1 FROM used_nonces u WHERE u.nonce = q.token AND u.user_id = $2) AS nonce_used,
 EXISTS (SELECT 1 FROM enrollments a WHERE a.course_id = e.course_id) AS has_roster,
 EXISTS (SELECT 1 FROM enrollments n WHERE n.course_id = e.course_id AND n.user_id = $2) AS enrolled
 FROM qr_sessions q JOIN events e ON e.id = q.event_id LEFT JOIN attendance_records r ON r.event_id = e.id AND r.user_id = $2
 WHERE q.id = $1`;
const RECORD = `INSERT INTO attendance_records (id, event_id, user_id, status, original_status, method, marked_at, recorded_at,
 qr_session_id, nonce) VALUES ($1, $2, $3, 'present', 'present', 'qr', $4, $4, $5, $6) ON CONFLICT DO NOTHING`;
const NONCE = 'INSERT INTO used_nonces (nonce, user_id, event_id, used_at) VALUES ($1, $2, $3, $4)';
const LOG = 'INSERT INTO verification_logs (attendance_id, created_at, layers) VALUES ($1, $2, $3)';
const AUDIT = `INSERT INTO audit_logs (id, created_at, action, result, actor_id, entity_type, entity_id, ip_address, user_agent,
 request_id, details) VALUES ($1, $2, $3, 'success', $4, $5, $6, $7, $8, $9, $10)`;
const USER = 'SELECT * FROM users WHERE email = $1';
const END = 'UPDATE sessions SET revoked_at = $2 WHERE user_id = $1 AND revoked_at IS NULL';
const SESSION = `INSERT INTO sessions (id, user_id, created_at, login_at, expires_at, last_used_at, ip_address, user_agent, web, mfa)
 VALUES ($1, $2, $3, $3, $4, $3, $5, $6, FALSE, FALSE)`;
const REFRESH = `INSERT INTO refresh_tokens (id, session_id, token_hash, key_id, successor_salt, issued_at, expires_at)
 VALUES ($1, $2, $3, 'peer', '', $4, $5)`;
const EVENTS = `SELECT e.id, e.title, e.description, e.scheduled_at, e.ends_at, e.notes, e.course_id, e.capacity, e.owner_id AS created_by,
 e.created_at, e.id IN (SELECT m.event_id FROM attendance_records m WHERE m.user_id = $1) AS user_attended,
 COALESCE(k.attended, 0) AS attendance_count FROM events e LEFT JOIN event_counts k ON k.event_id = e.id
 WHERE e.scheduled_at BETWEEN $2 AND $3 AND NOT e.is_deleted AND e.kind = 'event' ORDER BY e.scheduled_at, e.id`;
const PEOPLE = `SELECT COUNT(*) AS total, COUNT(CASE WHEN role = 'admin' THEN 1 END) AS admins FROM users WHERE is_active`;
const PENDING = `SELECT COUNT(*) AS n FROM approval_requests WHERE status = 'pending' AND expires_at > $1`;
const TOTALS = `SELECT COUNT(*) AS total, COUNT(CASE WHEN e.scheduled_at > $1 THEN 1 END) AS upcoming,
 COALESCE(SUM(k.records), 0) AS records,
 COALESCE(SUM(CASE WHEN COALESCE(e.ends_at, e.scheduled_at) <= $1 THEN k.present END), 0) AS present,
 COALESCE(SUM(CASE WHEN COALESCE(e.ends_at, e.scheduled_at) <= $1 THEN e.expected END), 0) AS expected
 FROM events e LEFT JOIN event_counts k ON k.event_id = e.id WHERE e.kind = 'event' AND NOT e.is_deleted`;
const LAYERS = JSON.stringify(['signature', 'qr', 'time', 'event', 'roster', 'nonce', 'duplicate'].map((layer) => ({ layer, verdict: 'pass' })));

// --- shapes -------------------------------------------------------------------------------------------------------------------

const text = { type: 'string' }, nullable = { type: ['string', 'null'] }, number = { type: 'integer' }, yes = { type: 'boolean' };
const object = (properties, required = Object.keys(properties)) => ({ type: 'object', properties, required });
const account = object({ id: text, email: text, full_name: text, role: text, is_active: yes, created_at: text });
const shapes = {
  me: { response: { 200: account } },
  login: {
    body: object({ username: text, password: text }),
    response: { 200: object({ access_token: text, refresh_token: text, token_type: text, expires_in: number, user: account }) },
  },
  mark: {
    body: object({ qr_payload: text }),
    response: { 201: object({ attendance_id: text, event: object({ id: text, title: text, scheduled_at: text }), marked_at: text, message: text }) },
  },
  events: {
    response: { 200: object({ events: { type: 'array', items: object({ id: text, title: text, description: nullable, scheduled_at: text,
      ends_at: nullable, notes: nullable, course_id: nullable, capacity: { type: ['integer', 'null'] }, created_by: text, created_at: text,
      user_attended: yes, attendance_count: number }) } }) },
  },
};

// --- routes -------------------------------------------------------------------------------------------------------------------

async function serve() {
  const db = onPostgres ? postgres() : sqlite();
  const app = Fastify({ logger: false });
  const verify = createVerifier({ key: Buffer.from(peer.access_key, 'hex'), algorithms: ['HS256'], allowedIss: peer.issuer, allowedAud: peer.audience });
  const sign = createSigner({ key: Buffer.from(peer.access_key, 'hex'), algorithm: 'HS256', kid: peer.access_kid, iss: peer.issuer, aud: peer.audience, expiresIn: 900_000 });
  const decode = createDecoder({ complete: true });
  const qrKey = Buffer.from(peer.qr_key, 'hex'), decoy = await hash(randomBytes(16).toString('hex'), { cost: 12 });

  function claimsOf(request) {
    try {
      const token = (request.headers.authorization ?? '').slice(7);
      if (decode(token).header.kid !== peer.access_kid) throw new Error('another key');
      return verify(token);
    } catch {
      throw new Refusal(401, 'UNAUTHORIZED');
    }
  }
  const actorOf = async (request) => {
    const claims = claimsOf(request);
    const actor = await db.read((tx) => tx.get(WHO, claims.sid, claims.sub, time(Date.now())));
    if (!actor) throw new Refusal(401, 'UNAUTHORIZED');
    return actor;
  };
  const accountOut = (a) => ({ ...a, is_active: Boolean(a.is_active), created_at: iso(a.created_at) });
  const agent = (request) => request.headers['user-agent'] ?? '';
  const audit = (tx, request, at, actor, action, type, id, details) => tx.run(AUDIT, newId(), at, action, actor, type, id, request.ip,
    agent(request), newId(), JSON.stringify(details));

  app.get('/v1/health', async () => ({ status: 'ok' }));
  app.get('/api/auth/me', { schema: shapes.me }, async (request) => accountOut(await actorOf(request)));

  app.post('/api/auth/login', { schema: shapes.login }, async (request) => {
    const user = await db.read((tx) => tx.get(USER, request.body.username.trim().toLowerCase()));
    if (!await compare(request.body.password, user?.password_hash ?? decoy) || !user?.is_active) throw new Refusal(401, 'INVALID_CREDENTIALS');
    const now = Date.now(), at = time(now), sid = newId(), refresh = randomBytes(32).toString('base64url');
    await db.write(unit(function* (tx) {
      yield tx.run(END, user.id, at);
      yield tx.run(SESSION, sid, user.id, at, time(now + 30 * DAY), request.ip, agent(request));
      yield tx.run(REFRESH, newId(), sid, createHash('sha256').update(refresh).digest('base64url'), at, time(now + 7 * DAY));
      yield audit(tx, request, at, user.id, 'login', 'session', sid, {});
    }));
    return { access_token: sign({ sub: user.id, sid, role: user.role, jti: newId(), typ: 'access' }), refresh_token: refresh,
      token_type: 'bearer', expires_in: 900, user: accountOut(user) };
  });

  function readCode(payload) {
    let code;
    try {
      code = JSON.parse(Buffer.from(payload.slice(payload.lastIndexOf('#') + 1), 'base64url'));
    } catch {
      throw new Refusal(400, 'INVALID_QR');
    }
    const mac = createHmac('sha256', qrKey).update(`muster.qr.v1\n${code.s}\n${code.n}\n${code.x}`).digest(), given = Buffer.from(String(code.h), 'base64url');
    if (given.length !== mac.length || !timingSafeEqual(given, mac)) throw new Refusal(400, 'INVALID_SIGNATURE');
    return code;
  }

  app.post('/api/attendance/mark', { schema: shapes.mark }, async (request, reply) => {
    const claims = claimsOf(request), code = readCode(request.body.qr_payload);
    const now = Date.now(), at = time(now), id = newId();
    const row = await db.write(unit(function* (tx) {
      const actor = yield tx.get(WHO, claims.sid, claims.sub, at);
      if (!actor) throw new Refusal(401, 'UNAUTHORIZED');
      const found = yield tx.get(CODE, code.s, actor.id);
      if (!found || found.token !== code.n || found.is_deleted) throw new Refusal(400, 'INVALID_QR');
      if (found.is_revoked || found.expires_at <= at || (found.ends_at && found.ends_at <= at)) throw new Refusal(400, 'QR_EXPIRED');
      if (found.has_roster && !found.enrolled) throw new Refusal(403, 'NOT_ENROLLED');
      if (found.record_id || found.nonce_used) throw new Refusal(409, 'DUPLICATE_ATTENDANCE');
      if ((yield tx.run(RECORD, id, found.id, actor.id, at, code.s, code.n)) !== 1) throw new Refusal(409, 'DUPLICATE_ATTENDANCE');
      yield tx.run(NONCE, code.n, actor.id, found.id, at);
      yield tx.run(LOG, id, at, LAYERS);
      yield audit(tx, request, at, actor.id, 'attendance_marked', 'attendance_record', id, { event_id: found.id, status: 'present', method: 'qr' });
      return found;
    }));
    reply.code(201);
    return { attendance_id: id, event: { id: row.id, title: row.title, scheduled_at: iso(row.scheduled_at) }, marked_at: iso(at), message: 'Your attendance is marked.' };
  });

  app.get('/api/events', { schema: shapes.events }, async (request) => {
    const actor = await actorOf(request), now = Date.now();
    const rows = await db.read((tx) => tx.all(EVENTS, actor.id, time(now - 30 * DAY), time(now + 90 * DAY)));
    for (const r of rows) {
      r.scheduled_at = iso(r.scheduled_at);
      r.ends_at = iso(r.ends_at);
      r.created_at = iso(r.created_at);
      r.user_attended = Boolean(r.user_attended);
    }
    return { events: rows };
  });

  let kept = { until: 0 };
  app.get('/api/admin/stats', async (request) => {
    if ((await actorOf(request)).role !== 'admin') throw new Refusal(403, 'FORBIDDEN');
    if (performance.now() >= kept.until) {
      const at = time(Date.now()), people = await db.read((tx) => tx.get(PEOPLE));
      const pending = await db.read((tx) => tx.get(PENDING, at)), t = await db.read((tx) => tx.get(TOTALS, at));
      kept = { until: performance.now() + 10_000, value: {
        users: { total: +people.total, students: people.total - people.admins, admins: +people.admins, pending_approvals: +pending.n },
        events: { total: +t.total, upcoming: +t.upcoming },
        attendance: { total_records: +t.records, average_attendance_rate: +t.expected ? Math.round(1000 * t.present / t.expected) / 10 : 0 },
      } };
    }
    return kept.value;
  });

  await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT), backlog: 4096 });
}

if (cluster.isPrimary) for (let i = 0; i < WORKERS; i++) cluster.fork();
else await serve();
