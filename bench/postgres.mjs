// Marks on PostgreSQL with its default, durable settings, and beside them what pgbench makes of an equal transaction in the same run:
// one transaction a mark, a transaction of fifty with savepoints, the same in pipeline mode, and one statement for the rows of fifty.
import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const STUDENTS = 5000, BATCH = 50;
const bin = () => dirname(readdirSync('/usr/lib/postgresql').sort((a, b) => a - b).map((v) => `/usr/lib/postgresql/${v}/bin/initdb`).pop());

function run(program, args, options = {}) {
  const done = spawnSync(program, args, { encoding: 'utf8', maxBuffer: 1 << 26, ...options });
  if (done.status !== 0) throw new Error(`${program}: ${done.stderr || done.error}`);
  return done.stdout;
}

// A server of our own; it goes when its standard input ends.
export async function postgresServer(directory, extra) {
  const child = spawn('sh', ['tools/with-postgres.sh', 'sh', '-c', 'echo "$MUSTER_TEST_DATABASE_URL"; cat'],
    { env: { ...process.env, TMPDIR: directory, PG_DEFAULTS: '1', ...extra }, stdio: ['pipe', 'pipe', 'inherit'] });
  const url = await new Promise((ok, wrong) => {
    child.stdout.once('data', (d) => ok(String(d).trim()));
    child.once('exit', () => wrong(new Error('PostgreSQL did not start')));
  });
  const home = /host=([^&]*)/.exec(url)[1];
  const settings = run(join(bin(), 'psql'), ['-qXAt', '-d', url, '-c', 'SHOW fsync', '-c', 'SHOW synchronous_commit', '-c', 'SHOW full_page_writes']);
  if (settings !== 'on\non\non\n') throw new Error(`not durable: ${settings}`);
  return {
    url, home, pid: Number(readFileSync(join(home, 'data', 'postmaster.pid'), 'utf8').split('\n')[0]),
    stop: () => new Promise((ok) => { child.once('exit', ok); child.stdin.end(); }),
  };
}

// CPU of the server and all its processes, ended ones included, µs.
function cpu(pg) {
  let ticks = 0;
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    let stat;
    try { stat = readFileSync(`/proc/${name}/stat`, 'utf8'); } catch { continue; }
    const f = stat.slice(stat.lastIndexOf(')') + 2).split(' ').map(Number);
    if (Number(name) === pg.pid) ticks += f[11] + f[12] + f[13] + f[14];
    else if (f[1] === pg.pid) ticks += f[11] + f[12];
  }
  return ticks * 10000;
}

export const psql = (pg, text, ...flags) => run(join(bin(), 'psql'), ['-qX', ...flags, '-d', pg.url, '-c', text]);
export function database(pg, name) {
  psql(pg, `CREATE DATABASE ${name}`);
  return pg.url.replace('/postgres?', `/${name}?`);
}

// --- pgbench -------------------------------------------------------------------------------------------------------------------

const uuid = (kind, n) => `('0000000${kind}-0000-7000-8000-' || lpad((${n})::text, 12, '0'))::uuid`;
const AGENT = 'Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36', AT = "'2026-01-01 10:00:00.123456'::timestamptz";
const FILL = `INSERT INTO users (id, email, full_name, role, is_active, mail_decisions, mail_marks, mail_reminders, created_at, updated_at)
  SELECT ${uuid(1, 'i')}, 'p' || i || '@example.org', 'P', 'student', TRUE, TRUE, TRUE, TRUE, ${AT}, ${AT} FROM generate_series(0, ${STUDENTS}) i;
INSERT INTO events (id, kind, title, scheduled_at, owner_id, taken, generation, require_device, require_face, is_deleted, created_at, updated_at)
  SELECT ${uuid(2, 'i')}, 'event', 'Lecture ' || i, ${AT}, ${uuid(1, 0)}, 0, 0, FALSE, FALSE, FALSE, ${AT}, ${AT} FROM generate_series(0, 400) i;
INSERT INTO qr_sessions (id, event_id, token, key_id, created_by, created_at, expires_at, is_revoked)
  SELECT ${uuid(3, 'i')}, ${uuid(2, 'i')}, 'nonce-of-code-' || i, 'key', ${uuid(1, 0)}, ${AT}, ${AT}, FALSE FROM generate_series(0, 400) i;
ANALYZE;`;

// What a mark reads and writes; `from` is where the numbers of many come from.
function statements(u, e, n, from = '') {
  const cross = from ? `${from} CROSS JOIN ` : '', only = from ? ` FROM ${from}` : '';
  const there = `EXISTS (SELECT 1 FROM attendance_records x WHERE x.id = ${uuid(5, n)}${from ? ' OFFSET 0' : ''})`;
  return [
    `SELECT q.id, q.event_id, q.token, q.expires_at, q.is_revoked, e.title, e.policy, e.scheduled_at, e.ends_at, e.capacity, e.is_deleted,
 r.id, r.status, EXISTS (SELECT 1 FROM used_nonces u WHERE u.nonce = q.token AND u.user_id = ${uuid(1, u)} OFFSET 0),
 EXISTS (SELECT 1 FROM enrollments a WHERE a.course_id = e.course_id OFFSET 0), (SELECT reached FROM positions WHERE name = 'event_counts')
 FROM ${cross}qr_sessions q JOIN events e ON e.id = q.event_id LEFT JOIN LATERAL (SELECT * FROM attendance_records r
 WHERE r.event_id = q.event_id AND r.user_id = ${uuid(1, u)} OFFSET 0) r ON TRUE WHERE q.id = ${uuid(3, e)}`,
    `INSERT INTO attendance_records (id, event_id, user_id, status, original_status, method, marked_at, recorded_at, qr_session_id, nonce)
 SELECT ${uuid(5, n)}, e.id, ${uuid(1, u)}, 'present', 'present', 'qr', ${AT}, ${AT}, q.id, q.token FROM ${cross}qr_sessions q
 JOIN events e ON e.id = q.event_id WHERE q.id = ${uuid(3, e)} AND NOT q.is_revoked AND NOT e.is_deleted ON CONFLICT (event_id, user_id) DO NOTHING`,
    `INSERT INTO used_nonces (nonce, user_id, event_id, used_at) SELECT 'nonce-of-code-' || (${e})::text, ${uuid(1, u)}, ${uuid(2, e)}, ${AT}${only}
 WHERE ${there} ON CONFLICT (nonce, user_id) DO NOTHING`,
    `INSERT INTO verification_logs (attendance_id, layers, created_at) SELECT ${uuid(5, n)},
 '[{"layer":"qr","verdict":"pass"},{"layer":"time","verdict":"pass"}]', ${AT}${only} WHERE ${there}`,
    `INSERT INTO audit_logs (id, created_at, action, result, actor_id, entity_type, entity_id, ip_address, user_agent, request_id, details)
 SELECT ${uuid(6, n)}, ${AT}, 'attendance_marked', 'success', ${uuid(1, u)}, 'attendance_record', (${uuid(5, n)})::text, '127.0.0.1',
 '${AGENT}', (${uuid(7, n)})::text, '{"status":"present","method":"qr"}'${only}`,
  ].map((s) => s.replaceAll('\n', '') + ';');
}

// Every client of every mode has its own numbers, so that none meets another's mark: where a mode's begin, and how many a client has.
const ROOM = [[0, 20000], [320000, 100000], [520000, 150000], [820000, 400000]];
const number = (step) => [`\\set k :k + ${step}`, '\\set n :base + :client_id * :turn + :k', `\\set u :n % ${STUDENTS}`, `\\set e :n / ${STUDENTS}`];
const fifty = (before, after) => Array.from({ length: BATCH }, () => [...number(1), ...before, ...statements(':u', ':e', ':n'), ...after]).flat();
const many = statements(`i % ${STUDENTS}`, `i / ${STUDENTS}`, 'i', `generate_series(:n::bigint, :n::bigint + ${BATCH - 1}) i`);
const MODES = [
  ['a transaction each, 16 clients', 16, 1, [...number(1), 'BEGIN;', ...statements(':u', ':e', ':n'), 'COMMIT;']],
  [`${BATCH} a transaction, savepoints, 2 clients`, 2, BATCH, ['BEGIN;', ...fifty(['SAVEPOINT job;'], ['RELEASE SAVEPOINT job;']), 'COMMIT;']],
  [`${BATCH} a transaction, pipelined, 2 clients`, 2, BATCH, [...number(0), '\\startpipeline', 'BEGIN;', ...fifty([], []), 'COMMIT;', '\\endpipeline']],
  [`${BATCH} by one statement each kind, 2 clients`, 2, BATCH,
    [...number(BATCH), '\\startpipeline', 'BEGIN;', ...many, 'COMMIT;', '\\endpipeline']],
];

function pgbench(pg, url, mode, number, seconds) {
  const [, clients, each, lines] = MODES[mode];
  const file = join(pg.scripts, `mode${mode}.sql`);
  writeFileSync(file, lines.join('\n') + '\n');
  const before = cpu(pg);
  const out = run(join(bin(), 'pgbench'), ['-n', '-M', 'prepared', '-c', String(clients), '-j', '1', '-T', String(seconds), '-D', 'k=0', '-D', `base=${ROOM[number][0]}`, '-D', `turn=${ROOM[number][1]}`,
    '-f', file, url], { env: { ...process.env, PGOPTIONS: '-c plan_cache_mode=force_generic_plan -c enable_seqscan=off' } });
  const done = Number(/transactions actually processed: (\d+)/.exec(out)[1]) * each;
  return { per_second: Number(/^tps = ([\d.]+)/m.exec(out)[1]) * each, cpu_us_each: (cpu(pg) - before) / done };
}

// --- the section ---------------------------------------------------------------------------------------------------------------

export async function postgres({ row, seed, serve, load, ms, rate, ok, root, quick, slowsync }) {
  const preload = join(root, 'slowsync.so'), seconds = quick ? 2 : 4;
  chmodSync(root, 0o711);
  copyFileSync(slowsync, preload);
  chmodSync(preload, 0o755);
  for (const [slow, extra] of [{}, { PG_PRELOAD: preload, SLOWSYNC_US: '5000' }].entries()) {
    const pg = await postgresServer(process.env.BENCH_DIR ?? '/tmp', extra);
    pg.scripts = root;
    const version = run(join(bin(), 'postgres'), ['--version']).trim().replace(/^\S+ \S+ (\S+).*/, '$1');
    row(slow ? 'THE SAME, EVERY FLUSH 5 MS SLOWER' : `MARKS ON POSTGRESQL ${version}, DEFAULT DURABLE SETTINGS`, '', '');
    const url = database(pg, 'marks');
    const dir = seed(`postgres${slow}`, [quick ? 2000 : STUDENTS, quick ? 6 : slow ? 9 : 13], { DATABASE_URL: url });
    const server = await serve(dir, { DATABASE_URL: url });
    const burst = load(server, join(dir, 'burst.req'), ['--conns', '1500', '--count', '1500']);
    row('burst: 1,500 students, a connection each', ms(burst), `max ${burst.max_ms} ms, ${ok(burst, 201)}; target p99 < 300`);
    const before = cpu(pg), size = () => Number(psql(pg, "SELECT pg_database_size('marks')", '-At'));
    const small = size();
    const marks = load(server, join(dir, 'marks.req'), ['--conns', '512', ...(slow ? ['--seconds', String(seconds)] : ['--count', quick ? '9000' : '55000'])]);
    row('512 in flight', rate(marks), `CPU: Muster ${marks.cpu_us_each} µs, PostgreSQL ${((cpu(pg) - before) / marks.answered).toFixed(1)} µs; ` +
      `${ms(marks)}, ${ok(marks, 201)}; target ≥ ${slow ? '4' : '6'},000/s`);
    row('the database grows', `${Math.round((size() - small) / marks.answered)} B a mark`);
    await server.stop();
    const other = database(pg, 'pgbench');
    seed(`pgbench${slow}`, [1, 1], { DATABASE_URL: other });
    run(join(bin(), 'psql'), ['-qX', '-d', other, '-v', 'ON_ERROR_STOP=1', '-c', FILL]);
    for (const [mode, [what]] of MODES.entries()) {
      const f = pgbench(pg, other, mode, mode, quick ? 1 : 4);
      row(`pgbench: ${what}`, rate(f), `PostgreSQL ${f.cpu_us_each.toFixed(1)} µs CPU; Muster has ${(marks.per_second / f.per_second).toFixed(2)} ×`);
    }
    await pg.stop();
  }
}
