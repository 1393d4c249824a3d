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
import { peers } from './peers.mjs';
import { campus } from './campus.mjs';
import { postgres } from './postgres.mjs';

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
const loadBeside = (server, file, args) => new Promise((done, wrong) => {
  const child = spawn(bin('load'), ['--port', String(server.port), '--pid', String(server.pid), '--file', file, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.on('data', (d) => { text += d; });
  child.on('exit', (code) => (code ? wrong(new Error('load failed')) : done(JSON.parse(text))));
});
const ms = (f) => `p50 ${f.p50_ms} p99 ${f.p99_ms} ms`;
const rate = (f) => `${Math.round(f.per_second).toLocaleString('en')}/s`;
const ok = (f, status) => `${f.status[status] ?? 0} × ${status}` + (Object.keys(f.status).length > 1 || f.broken ? ` OTHERS ${JSON.stringify(f.status)} broken ${f.broken}` : '');
const rss = (pid) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) / 1024;

function seed(name, args, extra = {}) {
  const dir = join(root, name);
  mkdirSync(dir);
  run(bin('seed'), [dir, ...args.map(String)], { env: environment(dir, 1, extra) });
  run('sync', ['-f', root]); // hundreds of megabytes of requests, else written out while something is measured
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

if (wanted('marks') || wanted('me') || wanted('login') || wanted('storm')) {
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
    const before = statSync(join(dir, 'muster.db')).size;
    const burst = load(server, join(dir, 'burst.req'), ['--conns', '1500', '--count', '1500']);
    row('burst: 1,500 students, a connection each', ms(burst), `max ${burst.max_ms} ms, ${ok(burst, 201)}; target p99 < 300`);
    row('resident memory with 1,500 connections', `${burst.rss_mib} MiB`, 'target < 200');
    const third = String(Math.floor((quick ? 7 : 40) * students / 2));
    const marks = load(server, join(dir, 'marks.req'), ['--conns', '512', '--count', third]);
    row('512 in flight', rate(marks), `${marks.cpu_us_each} µs CPU, ${ms(marks)}, ${ok(marks, 201)}; target ≥ 15,000/s, ≤ 100 µs`);
    await server.stop();
    row('the database grows', `${Math.round((statSync(join(dir, 'muster.db')).size - before) / (burst.answered + marks.answered))} B a mark`, 'record, nonce, verification log and audit row with their indexes');
  } else {
    await server.stop();
  }
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
  }
  if (wanted('login') || wanted('storm')) {
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

if (wanted('campus'))
  await campus({ row, seed, serve, load, loadBeside, ms, rate, ok, quick });

if (wanted('postgres'))
  await postgres({ row, seed, serve, load, ms, rate, ok, root, quick, slowsync: bin('slowsync.so') });

if (wanted('peers')) {
  const hashes = json(bin('limits'), ['hash', '12']).hashes_per_second;
  await peers({ row, seed, serve, load, until, freePort, root, quick, limits: `bare hashing ${hashes}/s` });
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
// Listeners of one account, so that one piece of news goes to all of them.
async function listeners(server, token, count) {
  const child = spawn(bin('listeners'), ['--port', String(server.port), '--token', token, '--count', String(count)], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = [];
  let text = '';
  child.stdout.on('data', (d) => {
    text += d;
    for (let end; (end = text.indexOf('\n')) >= 0; text = text.slice(end + 1)) lines.push(JSON.parse(text.slice(0, end)));
  });
  await until('listeners', async () => lines.some((l) => l.connected !== undefined), 60000);
  return {
    connected: lines.find((l) => l.connected !== undefined),
    rounds: () => lines.filter((l) => l.round),
    stop: () => new Promise((done) => { child.once('exit', done); child.stdin.end(); }),
  };
}

if (wanted('streams')) {
  const count = quick ? 1000 : 5000, seconds = quick ? '2' : '4';
  row(`EVENT STREAMS, ${count.toLocaleString('en')} LISTENERS`, '', '');
  const fast = { BCRYPT_ROUNDS: '4' };
  const cost = { me: [], marks: [] };
  const me = (server, dir) => load(server, join(dir, 'me.req'), ['--conns', '64', '--seconds', seconds, '--cycle']);
  for (const [turn, listening] of [false, true].entries()) {
    const dir = seed(`streams${turn}`, [quick ? 2000 : 5000, quick ? 8 : 16]);
    const server = await serve(dir, fast);
    me(server, dir);
    const before = rss(server.pid);
    let crowd;
    if (listening) {
      const request = readFileSync(join(dir, 'stats.req'));
      const token = /Bearer (\S+)/.exec(request.subarray(4, 4 + request.readUInt32LE(0)).toString())[1];
      const started = performance.now();
      crowd = await listeners(server, token, count);
      row('connected', `${((performance.now() - started) / 1000).toFixed(2)} s`, JSON.stringify(crowd.connected));
      row('resident memory more', `${(rss(server.pid) - before).toFixed(1)} MiB`, 'target < 100');
      for (let i = 0; i < 3; i++) {
        const rounds = crowd.rounds().length, from = process.hrtime.bigint();
        await fetch(`http://127.0.0.1:${server.port}/api/auth/signup`, { method: 'POST', headers: { 'Content-Type': 'application/json' },
          body: JSON.stringify({ email: `heard${i}@example.org`, password: 'Bench-listener-77', full_name: 'Heard By All' }) });
        await until('all have heard', async () => crowd.rounds().length > rounds);
        const r = crowd.rounds()[rounds];
        row('news to all: from the request to the last listener', `${(Number(BigInt(r.last_ns) - from) / 1e6).toFixed(0)} ms`,
          `first to last ${((r.last_ns - r.first_ns) / 1e6).toFixed(0)} ms; target < 1,000`);
      }
    }
    cost.me.push(me(server, dir));
    cost.marks.push(load(server, join(dir, 'marks.req'), ['--conns', '512', '--count', String(quick ? 14000 : 70000)]));
    if (crowd) {
      row('resident memory at the end', `${rss(server.pid).toFixed(1)} MiB`, `${crowd.rounds().length} pieces of news to each`);
      await crowd.stop();
    }
    await server.stop();
  }
  for (const name of ['me', 'marks']) {
    const [without, withThem] = cost[name];
    row(`${name} without listeners`, rate(without), `${without.cpu_us_each} µs CPU, ${ms(without)}`);
    row(`${name} with them`, rate(withThem), `${withThem.cpu_us_each} µs CPU, ${ms(withThem)}, ${ok(withThem, name === 'me' ? 200 : 201)}`);
    row('cost with listeners', `${(withThem.cpu_us_each / without.cpu_us_each).toFixed(2)} × CPU`, 'target ≤ 1.3');
  }
}

if (wanted('bulk')) {
  const count = quick ? 5000 : 10000, seconds = quick ? 4 : 8;
  row(`MARKS AT 1,000/s WHILE ANOTHER PROCESS IMPORTS ${count.toLocaleString('en')} ACCOUNTS`, '', '');
  const background = (program, args, options) => new Promise((done) => {
    const started = performance.now(), child = spawn(program, args, options);
    let text = '';
    child.stdout.on('data', (d) => { text += d; });
    child.stderr.on('data', (d) => { text += d; });
    child.on('exit', (code) => done({ code, text, seconds: (performance.now() - started) / 1000 }));
  });
  const p99 = [];
  for (const importing of [false, true]) {
    const dir = seed(`bulk${Number(importing)}`, [2000, 6]);
    const file = join(dir, 'accounts.csv');
    writeFileSync(file, 'email,full_name,password_hash\n' + Array.from({ length: count }, (_, i) =>
      `import${i}@example.org,Imported ${i},$2b$12$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW\n`).join(''));
    const server = await serve(dir);
    const marking = background(bin('load'), ['--port', String(server.port), '--file', join(dir, 'marks.req'), '--conns', '64', '--rate', '1000', '--seconds', String(seconds)]);
    await new Promise((done) => setTimeout(done, 300));
    const imported = importing && await background(join(build, 'muster'), ['import', 'users', file, '--json'], { cwd: dir, env: environment(dir, 1) });
    const f = JSON.parse((await marking).text);
    p99.push(f.p99_ms);
    if (imported)
      row('the import', `${imported.seconds.toFixed(1)} s`, `exit ${imported.code}: ${imported.text.trim()}`);
    row(importing ? 'marks meanwhile' : 'marks, no import', ms(f), `max ${f.max_ms} ms, ${ok(f, 201)}`);
    await server.stop();
  }
  row('p99 with the import', `${(p99[1] / p99[0]).toFixed(2)} × without`, 'target ≤ 2');
}
console.log(`\n${rows.length} rows`);
