/*
 * IndexedDB: the one check-in under way ("scan"), with its key pair, which the browser keeps and never shows.  No session token is
 * ever put here.  Where IndexedDB is not to be had, memory takes its place: the check-in works, a reload loses it.
 */
const NAME = 'muster';
const TABLE = 'checkin';
const memory = new Map(); /* id: {value, lost}; lost: the database did not take it */
let opening = null;

function open() {
	opening ??= new Promise((resolve) => {
		try {
			const rq = indexedDB.open(NAME, 1);
			rq.onupgradeneeded = () => rq.result.createObjectStore(TABLE);
			rq.onsuccess = () => {
				rq.result.onclose = () => {
					opening = null;
				};
				resolve(rq.result);
			};
			rq.onerror = () => resolve(null);
		} catch {
			resolve(null);
		}
	});
	return opening;
}

async function once(mode, act) {
	const db = await open();
	if (!db)
		return null;
	return new Promise((resolve, reject) => {
		const tx = db.transaction(TABLE, mode);
		const rq = act(tx.objectStore(TABLE));
		tx.oncomplete = () => resolve({ result: rq.result });
		tx.onabort = tx.onerror = () => reject(tx.error);
	});
}

/* What came of `act`, as {result}; null where the database does not do it.  A connection may die unseen behind a page that slept, so a new one gets a try. */
async function run(mode, act) {
	try {
		return await once(mode, act);
	} catch {
		opening = null;
		return once(mode, act).catch(() => null);
	}
}

export async function load(id) {
	const read = memory.get(id)?.lost ? null : await run('readonly', (s) => s.get(id));
	if (read)
		memory.set(id, { value: read.result });
	return memory.get(id)?.value;
}

/** Says whether it outlives this page. */
export async function save(id, value) {
	memory.set(id, { value });
	const kept = await run('readwrite', (s) => s.put(value, id));
	memory.set(id, { value, lost: !kept });
	return !!kept;
}

/** Puts `value`, or nothing when there is none, in the place of `old`; says whether `old` (known by `born`) was still there. */
export async function replace(id, old, value) {
	const write = (s) => (value ? s.put(value, id) : s.delete(id));
	const same = (there) => there?.born === old.born;
	const done = memory.get(id)?.lost ? null : await run('readwrite', (s) => {
		const rq = s.get(id);
		rq.onsuccess = () => same(rq.result) && write(s);
		return rq;
	});
	const there = done ? done.result : memory.get(id)?.value;
	if (same(there))
		memory.set(id, { value, lost: !done });
	return same(there);
}
