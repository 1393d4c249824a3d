/*
 * Server-sent events over fetch, since EventSource sends no Authorization header.
 *
 * The server says something at least every 15 s; a stream that is silent for longer than QUIET_MS is dead, whatever the network says,
 * and is opened anew.
 */
import { ApiError } from './http.js';

const QUIET_MS = 45_000;

async function soon(reading) {
	let timer;
	const quiet = new Promise((_, reject) => {
		timer = setTimeout(() => reject(new ApiError(0, 'offline')), QUIET_MS);
	});
	try {
		return await Promise.race([reading, quiet]);
	} finally {
		clearTimeout(timer);
	}
}

/* Calls `on(event, data, id)` for each event until the stream ends. */
async function readEvents(body, on) {
	const reader = body.pipeThrough(new TextDecoderStream()).getReader();
	let text = '';
	try {
		for (;;) {
			const { done, value } = await soon(reader.read());
			if (done)
				return;
			text += value;
			for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
				const lines = text.slice(0, end).split('\n');
				text = text.slice(end + 2);
				const of = (name) => lines.filter((l) => l.startsWith(`${name}: `)).map((l) => l.slice(name.length + 2)).join('\n');
				if (of('event'))
					on(of('event'), JSON.parse(of('data') || '{}'), of('id'));
			}
		}
	} finally {
		reader.cancel().catch(() => undefined);
	}
}

/**
 * Keeps a stream open; gives the function that ends it.
 *
 * open(signal): a promise of the stream's body.  opened(): it is open.  on(event, data, id): an event.  lost(error): it is not open any
 * more (error null: it ended in order); false gives up.  The wait before the next try doubles up to `mostMs`.
 */
export function follow({ open, on, lost, opened = () => undefined, firstMs = 2_000, mostMs = 2_000 }) {
	let now = new AbortController(), timer = 0, waitMs = firstMs;
	const run = async () => {
		const mine = now = new AbortController();
		let error = null;
		try {
			const body = await open(mine.signal);
			if (mine.signal.aborted) {
				await body.cancel();
				return;
			}
			waitMs = firstMs;
			opened();
			await readEvents(body, (...event) => mine.signal.aborted || on(...event));
		} catch (e) {
			error = e;
		}
		if (mine.signal.aborted || lost(error) === false)
			return;
		timer = setTimeout(run, waitMs * (0.75 + Math.random() / 2));
		waitMs = Math.min(mostMs, 2 * waitMs);
	};
	const halt = () => {
		clearTimeout(timer);
		now.abort();
	};
	const online = () => { /* whatever was open hung on the network before */
		halt();
		run();
	};
	addEventListener('online', online);
	run();
	return () => {
		removeEventListener('online', online);
		halt();
	};
}
