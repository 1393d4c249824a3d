/*
 * IndexedDB: the one check-in under way ("scan"), with its key pair, which the browser keeps and never shows.  No session token is
 * ever put here.  Where IndexedDB is not to be had, memory takes its place: the check-in works, a reload loses it.
 */
const NAME = 'muster';
const TABLE = 'checkin';
const memory = new Map();
let opening = null;

function open() {
	opening ??= new Promise((resolve) => {
		try {
			const rq = indexedDB.open(NAME, 1);
			rq.onupgradeneeded = () => rq.result.createObjectStore(TABLE);
			rq.onsuccess = () => resolve(rq.result);
			rq.onerror = () => resolve(null);
		} catch {
			resolve(null);
		}
	});
	return opening;
}

async function run(mode, act) {
	const db = await open();
	if (!db)
		return undefined;
	return new Promise((resolve, reject) => {
		const tx = db.transaction(TABLE, mode);
		const rq = act(tx.objectStore(TABLE));
		tx.oncomplete = () => resolve(rq.result);
		tx.onabort = tx.onerror = () => reject(tx.error);
	});
}

export async function load(id) {
	return await run('readonly', (s) => s.get(id)) ?? memory.get(id);
}

export async function save(id, value) {
	memory.set(id, value);
	await run('readwrite', (s) => s.put(value, id)).catch(() => undefined);
}

export async function forget(id) {
	memory.delete(id);
	await run('readwrite', (s) => s.delete(id));
}
