// Muster beside what people would build instead: the same routes, rows, requests, durability and password hashes, one after another on the
// same cores (bench/peers).  SQLite first, then PostgreSQL with its default, durable settings, then the lists over a million marks.
import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, openSync, readFileSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { database, postgresServer, psql } from './postgres.mjs';

const here = join(fileURLToPath(import.meta.url), '..', 'peers');
const PEERS = {
  FastAPI: {
    directory: join(here, 'fastapi'),
    command: (port) => ['/usr/bin/gunicorn', ['-w', '2', '-k', 'uvicorn.workers.UvicornWorker', '--backlog', '4096', '-b', `127.0.0.1:${port}`, 'app:app']],
    missing: () => spawnSync('/usr/bin/python3', ['-c', 'import fastapi, uvicorn, uvloop, httptools, sqlalchemy, asyncpg, jwt, bcrypt']).status !== 0
      && 'needs python3-fastapi uvicorn gunicorn python3-uvloop python3-httptools python3-sqlalchemy python3-asyncpg python3-jwt python3-bcrypt',
  },
  Fastify: {
    directory: join(here, 'fastify'),
    command: () => ['node', ['server.js']],
    missing: () => !existsSync(join(here, 'fastify', 'node_modules')) && 'needs `npm ci` in bench/peers/fastify',
  },
};

// A process and all that come from it: CPU so far (µs) and memory of its own (MiB; shared pages counted once).
function tree(pid) {
  const parents = new Map(), stats = new Map();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      const f = stat.slice(stat.lastIndexOf(')') + 2).split(' ').map(Number);
      parents.set(Number(name), f[1]);
      stats.set(Number(name), f[11] + f[12]);
    } catch { /* it ended meanwhile */ }
  }
  const ours = [...stats.keys()].filter((p) => {
    for (let at = p; at; at = parents.get(at)) if (at === pid) return true;
    return false;
  });
  return {
    cpu_us: ours.reduce((sum, p) => sum + stats.get(p), 0) * 10000,
    mib: ours.reduce((sum, p) => sum + Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${p}/smaps_rollup`, 'utf8'))[1]), 0) / 1024,
  };
}

// postgresql:///NAME?host=DIRECTORY&user=WHO, as tools/with-postgres.sh gives it.
const parts = (url) => [['database', /\/([^/?]*)\?/.exec(url)[1]], ...new URLSearchParams(url.slice(url.indexOf('?') + 1))];

export async function peers({ row, seed, serve, load, until, freePort, root, quick, limits }) {
  const names = ['Muster', ...Object.keys(PEERS).filter((name) => {
    const missing = PEERS[name].missing();
    if (missing) row(name, 'left out', missing);
    return !missing;
  })];
  const best = new Map(); // what → [figure of Muster, of the best peer]

  async function start(name, dir, url) {
    if (name === 'Muster') return serve(dir, url ? { DATABASE_URL: url } : {});
    const port = await freePort(), log = openSync(join(dir, 'server.log'), 'a'), [program, args] = PEERS[name].command(port);
    const peer = { ...JSON.parse(readFileSync(join(dir, 'peer.json'))), ...(url ? { postgres: Object.fromEntries(parts(url)) } : { sqlite: join(dir, 'muster.db') }) };
    const begun = performance.now();
    const child = spawn(program, args, { cwd: PEERS[name].directory, stdio: ['ignore', log, log],
      env: { PATH: process.env.PATH, NODE_ENV: 'production', PORT: String(port), PYTHONDONTWRITEBYTECODE: '1', PEER: JSON.stringify(peer) } });
    await until(name, async () => (await fetch(`http://127.0.0.1:${port}/v1/health`)).ok, 60000);
    const startMs = performance.now() - begun;
    process.on('exit', () => child.kill());
    return { port, pid: child.pid, startMs, stop: () => new Promise((ok) => { child.once('exit', ok); child.kill('SIGTERM'); }) };
  }

  function measure(name, server, what, file, args, status) {
    const before = tree(server.pid).cpu_us;
    const f = load(server, file, args);
    const cpu = (tree(server.pid).cpu_us - before) / Math.max(1, f.answered);
    const wrong = f.answered - (f.status[status] ?? 0);
    row(`${what}: ${name}`, `${Math.round((f.status[status] ?? 0) / f.seconds).toLocaleString('en')}/s`,
      `${cpu.toFixed(0)} µs CPU, p50 ${f.p50_ms} p99 ${f.p99_ms} ms, ${f.answered - wrong} × ${status}`
      + (wrong || f.broken ? `; OTHERS ${JSON.stringify(f.status)}, broken ${f.broken}` : ''));
    note(`${what}, per second`, name, (f.status[status] ?? 0) / f.seconds, Math.max);
    note(`${what}, CPU per request`, name, cpu, Math.min);
    return f;
  }
  function note(what, name, figure, better) {
    const now = best.get(what) ?? [];
    if (name === 'Muster') now[0] = figure;
    else now[1] = now[1] === undefined ? figure : better(now[1], figure);
    best.set(what, now);
  }
  function burst(name, server, where, dir) {
    const f = load(server, join(dir, 'burst.req'), ['--conns', '1500', '--count', '1500']);
    row(`1,500 students at once, ${where}: ${name}`, `p50 ${f.p50_ms} p99 ${f.p99_ms} ms`,
      `all answered after ${f.max_ms} ms; ${JSON.stringify(f.status)}${f.broken ? ` broken ${f.broken}` : ''}`);
    note(`burst on ${where}, p99`, name, f.p99_ms, Math.min);
  }

  const seconds = quick ? '3' : '6', students = quick ? 1500 : 3000;
  row(`PEERS ON SQLITE, synchronous=FULL; ${limits}`, '', '');
  const first = seed('peers', [students, quick ? 20 : 41]);
  for (const name of names) {
    const dir = join(root, `peers-${name}`);
    cpSync(first, dir, { recursive: true });
    const server = await start(name, dir);
    row(`start to first answer: ${name}`, `${server.startMs.toFixed(0)} ms`, `${tree(server.pid).mib.toFixed(0)} MiB of memory, idle`);
    measure(name, server, 'GET /api/auth/me', join(dir, 'me.req'), ['--conns', '64', '--seconds', seconds, '--cycle'], 200);
    burst(name, server, 'SQLite', dir);
    measure(name, server, 'marks on SQLite', join(dir, 'marks.req'), ['--conns', '256', '--seconds', seconds], 201);
    row(`memory after it: ${name}`, `${tree(server.pid).mib.toFixed(0)} MiB`);
    note('memory after the marks', name, tree(server.pid).mib, Math.min);
    measure(name, server, 'logins, bcrypt cost 12', join(dir, 'login.req'), ['--conns', '4', '--seconds', seconds], 200);
    await server.stop();
  }

  row('PEERS ON POSTGRESQL, DEFAULT DURABLE SETTINGS', '', '');
  chmodSync(root, 0o711);
  const pg = await postgresServer(process.env.BENCH_DIR ?? '/tmp', {});
  const url = database(pg, 'peers'), dir = seed('peerspg', [students, quick ? 20 : 41], { DATABASE_URL: url });
  for (const name of names) psql(pg, `CREATE DATABASE peers_${name.toLowerCase()} TEMPLATE peers`);
  for (const name of names) {
    const own = pg.url.replace('/postgres?', `/peers_${name.toLowerCase()}?`);
    const server = await start(name, dir, own);
    burst(name, server, 'PostgreSQL', dir);
    measure(name, server, 'marks on PostgreSQL', join(dir, 'marks.req'), ['--conns', '256', '--seconds', seconds], 201);
    await server.stop();
  }
  await pg.stop();

  const scale = quick ? [10000, 100000, 200000] : [100000, 1000000, 2000000];
  row(`PEERS OVER ${scale[1].toLocaleString('en')} MARKS, SQLITE`, '', '');
  mkdirSync(join(root, 'none'), { recursive: true });
  const many = seed('peersmillion', [500, 2, ...scale]);
  for (const name of names) {
    const server = await start(name, many);
    measure(name, server, 'event list', join(many, 'events.req'), ['--conns', '4', '--seconds', seconds, '--cycle'], 200);
    measure(name, server, 'statistics', join(many, 'stats.req'), ['--conns', '4', '--seconds', seconds, '--cycle'], 200);
    await server.stop();
  }

  if (names.length > 1) {
    row('MUSTER BESIDE THE BETTER OF THE TWO', '', '');
    for (const [what, [ours, theirs]] of best) {
      const more = what.includes('per second'), times = more ? ours / theirs : theirs / ours;
      row(what, `${times.toFixed(1)} × ${more ? 'as many' : 'less'}`, `${ours.toFixed(1)} beside ${theirs.toFixed(1)}`);
    }
  }
}
