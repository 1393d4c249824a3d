// The benchmark: one run, one table.  It prints figures and ratios and asserts nothing.
//
//   node bench/run.mjs BUILD_DIR [--quick] [--only marks,me,…]
//
// Server and load generator share the machine, so CPU per request is the figure to compare; "x of bare" is the ratio to a program
// that does only that one thing, measured in the same run.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, mkdirSync, readFileSync, rmSync, writeFileSync, openSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { cpus, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const build = resolve(process.argv[2] ?? 'build');
const quick = process.argv.includes('--quick');
const onlyAt = process.argv.indexOf('--only');
const only = onlyAt > 0 ? process.argv[onlyAt + 1].split(',') : null;
const wanted = (name) => !only || only.includes(name);
const bin = (name) => join(build, 'bench', name);
const root = mkdtempSync(join(process.env.BENCH_DIR ?? tmpdir(), 'muster-bench-'));
const rows = [];
process.on('exit', () => rmSync(root, { recursive: true, force: true }));

function row(what, figure, note = '') {
  rows.push([what, figure, note]);
  console.log(`| ${what.padEnd(58)} | ${figure.padStart(34)} | ${note}`);
}

function run(program, args, options = {}) {
  const done = spawnSync(program, args, { encoding: 'utf8', maxBuffer: 1 << 26, ...options });
  if (done.status !== 0) throw new Error(`${program} ${args.join(' ')}: ${done.stderr || done.error}`);
  return done.stdout;
}
const json = (program, args, options) => JSON.parse(run(program, args, options).trim().split('\n').pop());

function freePort() {
  return new Promise((ok) => {
    const s = createServer().listen(0, '127.0.0.1', () => {
      const { port } = s.address();
      s.close(() => ok(port));
    });
  });
}

function environment(dir, port, extra = {}) {
  return {
    PATH: process.env.PATH, ENV: 'dev', HOST: '127.0.0.1', PORT: String(port), DATA_DIR: dir,
    DATABASE_URL: `sqlite:///${join(dir, 'muster.db')}`, RATE_LIMIT_ENABLED: 'false',
    SECRET_KEY: 'bench-secret-key-0123456789abcdef0123', QR_SIGNING_SECRET: 'bench-qr-secret-0123456789abcdef01234',
    TOKEN_PEPPER: 'bench-pepper-0123456789abcdef0123456', MFA_ENCRYPTION_KEY: 'bench-mfa-key-0123456789abcdef0123456',
    ADMIN_EMAIL: 'first-admin@example.org', ADMIN_PASSWORD: 'Bench-admin-77', ACCESS_TOKEN_EXPIRE_MINUTES: '600',
    LOGIN_FAIL_IP_THRESHOLD: '100000', ...extra,
  };
}

async function until(what, test, ms = 20000) {
  const end = Date.now() + ms;
  for (;;) {
    if (await test().catch(() => false)) return;
    if (Date.now() > end) throw new Error(`timed out: ${what}`);
    await new Promise((ok) => setTimeout(ok, 2));
  }
}

async function serve(dir, extra = {}) {
  const port = await freePort();
  const log = openSync(join(dir, 'server.log'), 'a');
  const started = performance.now();
  const child = spawn(join(build, 'muster'), ['serve'], { cwd: dir, env: environment(dir, port, extra), stdio: ['ignore', log, log] });
  await until('server', async () => (await fetch(`http://127.0.0.1:${port}/v1/health`)).ok);
  return {
    port, pid: child.pid, startMs: performance.now() - started,
    stop: () => new Promise((ok) => { child.once('exit', ok); child.kill('SIGTERM'); }),
  };
}

const load = (server, file, args) => json(bin('load'), ['--port', String(server.port), '--pid', String(server.pid), '--file', file, ...args]);
const ms = (f) => `p50 ${f.p50_ms} p99 ${f.p99_ms} ms`;
const rate = (f) => `${Math.round(f.per_second).toLocaleString('en')}/s`;
const ok = (f, status) => `${f.status[status] ?? 0} × ${status}` + (Object.keys(f.status).length > 1 || f.broken ? ` OTHERS ${JSON.stringify(f.status)} broken ${f.broken}` : '');
const rss = (pid) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) / 1024;

function seed(name, args) {
  const dir = join(root, name);
  mkdirSync(dir);
  run(bin('seed'), [dir, ...args.map(String)], { env: environment(dir, 1) });
  return dir;
}

async function bare(server, dir) {
  const reply = await fetch(`http://127.0.0.1:${server.port}/v1/health`);
  void reply;
  const first = readFileSync(join(dir, 'me.req'));
  const request = first.subarray(4, 4 + first.readUInt32LE(0)).toString();
  const token = /Bearer (\S+)/.exec(request)[1];
  const me = await fetch(`http://127.0.0.1:${server.port}/api/auth/me`, { headers: { Authorization: `Bearer ${token}` } });
  writeFileSync(join(dir, 'bare.body'), await me.text());
  const headers = [...me.headers].filter(([k]) => !['connection', 'content-length', 'date', 'keep-alive'].includes(k));
  writeFileSync(join(dir, 'bare.headers'), headers.map(([k, v]) => `${k}: ${v}\n`).join(''));
  const port = await freePort();
  const child = spawn(bin('bare_http'), [String(port), join(dir, 'bare.body'), join(dir, 'bare.headers')], { stdio: 'ignore' });
  await until('bare server', async () => (await fetch(`http://127.0.0.1:${port}/`)).ok);
  return { port, pid: child.pid, stop: () => child.kill() };
}

console.log(`\nMuster ${run(join(build, 'muster'), ['--version']).trim()} on ${cpus().length} × ${cpus()[0].model}`);
console.log(`database on ${root}; load generator on the same cores\n`);
row('MACHINE', '', '');
row('fdatasync of 4 KiB appends', `${json(bin('limits'), ['fsync', root]).fdatasync_per_second}/s`);

if (wanted('marks') || wanted('me') || wanted('login')) {
  const students = quick ? 2000 : 5000;
  const dir = seed('small', [students, quick ? 8 : 41]);
  let server = await serve(dir);
  row('START', '', '');
  row('start to first answer, new admin account', `${server.startMs.toFixed(0)} ms`);
  await server.stop();
  server = await serve(dir);
  row('start to first answer, existing database', `${server.startMs.toFixed(0)} ms`, 'target < 100');
  row('resident memory, idle', `${rss(server.pid).toFixed(1)} MiB`, 'target < 40');

  if (wanted('me')) {
    row('SIGNED-IN READ, GET /api/auth/me, 64 connections', '', '');
    load(server, join(dir, 'me.req'), ['--conns', '64', '--seconds', '1', '--cycle']);
    const b = await bare(server, dir);
    const seconds = quick ? '2' : '4';
    const a1 = load(server, join(dir, 'me.req'), ['--conns', '64', '--seconds', seconds, '--cycle']);
    const b1 = load(b, join(dir, 'me.req'), ['--conns', '64', '--seconds', seconds, '--cycle']);
    const a2 = load(server, join(dir, 'me.req'), ['--conns', '64', '--seconds', seconds, '--cycle']);
    const b2 = load(b, join(dir, 'me.req'), ['--conns', '64', '--seconds', seconds, '--cycle']);
    b.stop();
    row('bare libmicrohttpd, same bytes', rate(b1), `${b1.cpu_us_each} µs CPU, ${ms(b1)}; again ${rate(b2)}`);
    row('Muster', rate(a1), `${a1.cpu_us_each} µs CPU, ${ms(a1)}; again ${rate(a2)}; ${ok(a1, 200)}`);
    row('ratio', `${((a1.per_second + a2.per_second) / (b1.per_second + b2.per_second) * 100).toFixed(0)} % of bare`, 'target ≥ 60 %');
  }

  if (wanted('marks')) {
    row('MARKS OVER HTTP, synchronous=FULL', '', '');
    const burst = load(server, join(dir, 'burst.req'), ['--conns', '1500', '--count', '1500']);
    row('burst: 1,500 students, a connection each', ms(burst), `max ${burst.max_ms} ms, ${ok(burst, 201)}; target p99 < 300`);
    row('resident memory with 1,500 connections', `${burst.rss_mib} MiB`, 'target < 200');
    const third = String(Math.floor((quick ? 7 : 40) * students / 2));
    const marks = load(server, join(dir, 'marks.req'), ['--conns', '512', '--count', third]);
    row('512 in flight', rate(marks), `${marks.cpu_us_each} µs CPU, ${ms(marks)}, ${ok(marks, 201)}; target ≥ 15,000/s, ≤ 100 µs`);
  }
  await server.stop();
  if (wanted('marks')) {
    const slow = seed('slow', [2000, quick ? 10 : 31]);
    server = await serve(slow, { LD_PRELOAD: bin('slowsync.so'), SLOWSYNC_US: '5000' });
    const marks = load(server, join(slow, 'marks.req'), ['--conns', '512', '--seconds', '6']);
    row('512 in flight, every flush 5 ms slower', rate(marks), `${ms(marks)}, ${ok(marks, 201)}; target ≥ 10,000/s`);
    await server.stop();
  }

  if (wanted('login')) {
    row('LOGIN, bcrypt cost 12', '', '');
    const h = json(bin('limits'), ['hash', '12']);
    server = await serve(dir);
    const alone = load(server, join(dir, 'login.req'), ['--conns', '4', '--seconds', quick ? '5' : '12']);
    row('bare hashing, all cores', `${h.hashes_per_second}/s`);
    row('logins, 4 clients', `${alone.per_second}/s`.padEnd(4), `${(alone.answered / alone.seconds).toFixed(2)}/s, ${((alone.answered / alone.seconds) / h.hashes_per_second * 100).toFixed(0)} % of bare hashing, ${ok(alone, 200)}; target ≥ 90 %`);
    await server.stop();
    const dir2 = seed('storm', [2000, 6]);
    server = await serve(dir2);
    const storm = spawn(bin('load'), ['--port', String(server.port), '--file', join(dir2, 'login.req'), '--conns', '200', '--seconds', '8', '--cycle'], { stdio: ['ignore', 'pipe', 'inherit'] });
    let stormText = '';
    storm.stdout.on('data', (d) => { stormText += d; });
    await new Promise((done) => setTimeout(done, 500));
    const during = await new Promise((done) => {
      const p = spawn(bin('load'), ['--port', String(server.port), '--file', join(dir2, 'marks.req'), '--conns', '64', '--rate', '1000', '--seconds', '6']);
      let text = '';
      p.stdout.on('data', (d) => { text += d; });
      p.on('exit', () => done(JSON.parse(text)));
    });
    await new Promise((done) => (storm.exitCode !== null ? done() : storm.on('exit', done)));
    const s = JSON.parse(stormText);
    row('marks (1,000/s) during a storm of 200 login clients', ms(during), `${ok(during, 201)}; logins ${JSON.stringify(s.status)}; target p99 < 100`);
    await server.stop();
  }
}

if (wanted('million')) {
  row('A MILLION MARKS, 100,000 users, 2,000,000 audit rows', '', '');
  const scale = quick ? [10000, 100000, 200000] : [100000, 1000000, 2000000];
  const dir = seed('million', [5000, quick ? 6 : 21, ...scale]);
  const server = await serve(dir);
  row('database file', `${(statSync(join(dir, 'muster.db')).size / 2 ** 20).toFixed(0)} MiB`);
  const seconds = quick ? '2' : '5';
  for (const [name, what] of [['stats', 'statistics'], ['events', 'event list'], ['audit', 'audit list']]) {
    const f = load(server, join(dir, `${name}.req`), ['--conns', '4', '--seconds', seconds, '--cycle']);
    row(`${what}, 4 connections`, `${rate(f)}  ${ms(f)}`, `max ${f.max_ms} ms, ${f.cpu_us_each} µs CPU, ${ok(f, 200)}; target p99 < 50`);
  }
  const marks = load(server, join(dir, 'marks.req'), ['--conns', '512', '--count', String(quick ? 20000 : 60000)]);
  row('marks, 512 in flight', rate(marks), `${marks.cpu_us_each} µs CPU, ${ms(marks)}, ${ok(marks, 201)}`);
  await server.stop();
}
console.log(`\n${rows.length} rows`);
