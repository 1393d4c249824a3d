// Marks of campus sessions: a hall of 1,500, their cost beside the portal's in the same run, and marks with selfies.
//
// Every mark carries the code in two parts, a place and a device id; the sessions have a roster, a fence, and want the device.  The
// first half of the students bound a device a week ago, as people have in a term; the other half comes for the first time.
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const HALL = 1500, OLD = [0, HALL], NEW = [HALL, 2 * HALL], SELFIE_RATE = 10, BESIDE_RATE = 500, FACES = 40, TYPE = 'multipart/form-data; boundary=----muster';

function form(fields, picture) {
  const head = Object.entries(fields).map(([k, v]) => `------muster\r\nContent-Disposition: form-data; name="${k}"\r\n\r\n${v}\r\n`).join('');
  if (!picture) return Buffer.from(`${head}------muster--\r\n`);
  const file = `------muster\r\nContent-Disposition: form-data; name="${picture.part}"; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n\r\n`;
  return Buffer.concat([Buffer.from(head + file), picture.bytes, Buffer.from('\r\n------muster--\r\n')]);
}

function request(token, body) {
  const head = Buffer.from(`POST /api/v1/student/attendance HTTP/1.1\r\nHost: localhost\r\n` +
    `User-Agent: Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36\r\nAuthorization: Bearer ${token}\r\n` +
    `Content-Type: ${TYPE}\r\nContent-Length: ${body.length}\r\n\r\n`);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(head.length + body.length);
  return Buffer.concat([length, head, body]);
}

// Numbers from..to in an order that is no order of ids, as people come; the same each time.
function coming(from, to) {
  const all = Array.from({ length: to - from }, (_, i) => from + i);
  for (let i = all.length - 1, x = 1; i > 0; i--) {
    x = (x * 48271) % 2147483647;
    const j = x % (i + 1);
    [all[i], all[j]] = [all[j], all[i]];
  }
  return all;
}

// One file of marks: the students from..to at each of these sessions, one session after the other.
function marks(dir, name, at, sessions, [from, to], picture = () => undefined) {
  const parts = [];
  for (const s of sessions)
    for (const i of coming(from, to))
      parts.push(request(at.tokens[i], form({ qr_session_id: s.id, qr_nonce: s.nonce, latitude: 52.5163 + (i % 7) * 0.00004,
        longitude: 13.3777 - (i % 5) * 0.00004, accuracy: 15 + (i % 4) * 20, imei: `phone-${i}` }, picture(i))));
  const file = join(dir, `${name}.req`);
  writeFileSync(file, Buffer.concat(parts));
  return file;
}

// The portal's marks of the same students in that order, event by event.
function portalMarks(dir) {
  const bytes = readFileSync(join(dir, 'marks.req')), records = [], of = [];
  for (let at = 0; at < bytes.length; at += 4 + bytes.readUInt32LE(at))
    records.push(bytes.subarray(at, at + 4 + bytes.readUInt32LE(at)));
  for (let event = 0; event < records.length; event += 2 * HALL)
    for (const i of coming(...OLD)) of.push(records[event + i]);
  const file = join(dir, 'portal.req');
  writeFileSync(file, Buffer.concat(of));
  return file;
}

// Two photos each of the same people, one to enrol and one to show; null where they or the models are not.
function faces() {
  const home = resolve(process.env.BENCH_FACES ?? '../shared/face'), photos = join(home, 'photos');
  if (!existsSync(join(home, 'models')) || !existsSync(photos)) return null;
  const shown = readdirSync(photos).filter((f) => f.endsWith('_2021.jpg')).sort();
  return { models: join(home, 'models'), people: shown.map((f) => ({ shown: readFileSync(join(photos, f)),
    enrolled: readFileSync(join(photos, f.replace('_2021', '_gpo2015'))) })) };
}

async function enrol(server, at, people) {
  for (let i = 0; i < FACES; i++) {
    const body = form({ consent: 'true' }, { part: 'file', bytes: people[i % people.length].enrolled });
    const res = await fetch(`http://127.0.0.1:${server.port}/api/v1/student/enroll-face`, { method: 'POST', body,
      headers: { Authorization: `Bearer ${at.tokens[i]}`, 'Content-Type': TYPE } });
    if (res.status !== 201) throw new Error(`enrolment: ${res.status} ${await res.text()}`);
  }
}

// Only sessions that ask for a face look at selfies.
async function askForFaces(server, dir, sessions) {
  const token = /Bearer (\S+)/.exec(readFileSync(join(dir, 'events.req')).toString('latin1'))[1];
  for (const s of sessions) {
    const res = await fetch(`http://127.0.0.1:${server.port}/api/v1/lecturer/sessions/${s.id}`, { method: 'PATCH', body: '{"require_face":true}',
      headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' } });
    if (res.status !== 200) throw new Error(`session: ${res.status} ${await res.text()}`);
  }
}

const sum = (runs, of) => runs.reduce((total, f) => total + of(f), 0);

// Portal and campus in turns, so that a machine that slows down slows both.
function compare({ row, load, ms, rate, ok }, server, portal, file, total) {
  const turns = 4, count = total / turns, runs = { portal: [], campus: [] };
  for (let turn = 0; turn < turns; turn++)
    for (const [name, of] of [['portal', portal], ['campus', file]])
      runs[name].push(load(server, of, ['--conns', '512', '--skip', String(turn * count), '--count', String(count)]));
  const cost = (name) => sum(runs[name], (f) => f.cpu_us_each) / turns;
  const speed = (name) => total / sum(runs[name], (f) => f.seconds);
  for (const name of ['portal', 'campus'])
    row(`${name} marks, 512 in flight`, rate({ per_second: speed(name) }), `${cost(name).toFixed(1)} µs CPU, last turn ${ms(runs[name].at(-1))}, ${
      ok({ status: { 201: sum(runs[name], (f) => f.status[201] ?? 0) }, broken: sum(runs[name], (f) => f.broken) }, 201)} of ${total}`);
  row('a campus mark costs', `${(cost('campus') / cost('portal')).toFixed(2)} × a portal mark`, `rate ${(speed('portal') / speed('campus')).toFixed(2)} × less; target ≤ 1.5`);
}

export async function campus(tools) {
  const { row, seed, serve, load, loadBeside, ms, ok, quick } = tools;
  const rounds = quick ? 4 : 20, beside = quick ? 4 : 8, shown = quick ? 2 : 3, seconds = quick ? 4 : 10;
  const dir = seed('campus', [2 * HALL, rounds + 1, 2 + rounds + 2 * beside + shown], { BCRYPT_ROUNDS: '4' });
  const at = JSON.parse(readFileSync(join(dir, 'campus.json')));
  const next = (n) => at.sessions.splice(0, n);
  const pictures = faces();
  const server = await serve(dir, pictures ? { FACE_MODELS_DIR: pictures.models } : {});

  row('CAMPUS: 1,500 STUDENTS IN ONE SESSION, FENCE AND DEVICE', '', '');
  const burst = load(server, marks(dir, 'hall', at, next(1), NEW), ['--conns', '1500', '--count', '1500']);
  row('all at once, a connection each, every device new', ms(burst), `max ${burst.max_ms} ms, ${ok(burst, 201)}; target p99 < 1,000`);
  const hall = quick ? 5 : 30;
  const spread = load(server, marks(dir, 'spread', at, next(1), OLD), ['--conns', '128', '--fresh', '--rate', String(HALL / hall), '--count', '1500']);
  row(`within ${hall} s, a connection each`, ms(spread), `max ${spread.max_ms} ms, ${ok(spread, 201)} in ${spread.seconds.toFixed(1)} s; target p99 < 1,000`);

  row('THE SAME MARKS AND THE PORTAL\'S, IN TURNS', '', '');
  compare(tools, server, portalMarks(dir), marks(dir, 'campus', at, next(rounds), OLD), rounds * HALL);

  row('MARKS WITH A SELFIE', '', '');
  const rest = [FACES, HALL], besideArgs = ['--conns', '64', '--rate', String(BESIDE_RATE), '--seconds', String(seconds)];
  const alone = load(server, marks(dir, 'alone', at, next(beside), rest), besideArgs);
  row(`${BESIDE_RATE}/s without selfie, nothing beside them`, ms(alone), ok(alone, 201));
  if (!pictures) {
    row('selfies', 'no models, no photos', 'see BENCH_FACES');
  } else {
    await enrol(server, at, pictures.people);
    const asking = next(shown);
    await askForFaces(server, dir, asking);
    const file = marks(dir, 'selfie', at, asking, [0, FACES],
      (i) => ({ part: 'selfie', bytes: pictures.people[i % pictures.people.length].shown }));
    const plain = loadBeside(server, marks(dir, 'beside', at, next(beside), rest), besideArgs);
    const selfie = await loadBeside(server, file, ['--conns', '32', '--rate', String(SELFIE_RATE), '--seconds', String(seconds)]);
    const with_ = await plain;
    row(`${SELFIE_RATE}/s with a selfie`, `p50 ${selfie.p50_ms} p95 ${selfie.p95_ms} p99 ${selfie.p99_ms} ms`, `max ${selfie.max_ms} ms, ${ok(selfie, 201)}; target p95 ≤ 300`);
    row(`${BESIDE_RATE}/s without, beside them`, ms(with_), `${ok(with_, 201)}; p99 ${(with_.p99_ms / alone.p99_ms).toFixed(2)} × as without face work`);
  }
  await server.stop();
}
