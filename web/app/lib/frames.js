/*
 * What a screen of a room shows, pushed by the server: the present code, how many there are, who came last.  The stream opens by a
 * display token, which is no login, so signing in elsewhere does not end it.  Times are the server's, counted on by this device's
 * monotonic clock, so a wrong clock does not matter.
 */
import { useEffect, useState } from 'preact/hooks';

import { api } from './session.js';

const AGAIN_MS = 2_000;
const tokens = new Map(); /* by path, while this page lives */

/* Calls `on(event, data)` for each event of a stream of server-sent events. */
async function readEvents(reply, on) {
	const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
	let text = '';
	for (;;) {
		const { done, value } = await reader.read();
		if (done)
			return;
		text += value;
		for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
			const lines = text.slice(0, end).split('\n');
			text = text.slice(end + 2);
			const of = (name) => lines.filter((l) => l.startsWith(`${name}: `)).map((l) => l.slice(name.length + 2)).join('\n');
			if (of('event'))
				on(of('event'), JSON.parse(of('data') || '{}'));
		}
	}
}

function shownOf(frame) {
	const at = Date.parse(frame.server_time), ends = Date.parse(frame.expires_at);
	return {
		payload: frame.qr_payload, code: frame.code, label: frame.label ?? null, until: performance.now() + (ends - at),
		life: Math.max(1, (ends - Date.parse(frame.issued_at)) / 1000),
	};
}

/** {shown: {payload, code, label, until, life}, count, latest, lost, over}; `base` is the event's or session's path. */
export function useFrames(base, running) {
	const [state, set] = useState({ shown: null, count: null, latest: [], lost: null, over: null });
	useEffect(() => {
		if (!running)
			return undefined;
		const stop = new AbortController();
		let timer = 0;
		const heard = (event, data) => {
			if (event === 'frame')
				set((s) => ({ ...s, shown: shownOf(data), count: data.count, lost: null, over: null }));
			else if (event === 'count')
				set((s) => ({ ...s, count: data.count, latest: data.latest }));
			else if (event === 'ended')
				set((s) => ({ ...s, shown: null, over: { code: 'session_closed' } }));
		};
		const open = async () => {
			try {
				if (!tokens.has(base))
					tokens.set(base, (await api(`${base}/display`, { method: 'POST' })).display_token);
				const reply = await fetch(`${base}/frames`, {
					headers: { Accept: 'text/event-stream', Authorization: `Bearer ${tokens.get(base)}` }, cache: 'no-store', signal: stop.signal,
				});
				if (reply.status === 401)
					tokens.delete(base);
				if (reply.ok)
					await readEvents(reply, heard);
				if (!stop.signal.aborted)
					set((s) => ({ ...s, lost: { code: 'offline' } }));
			} catch (error) {
				if (stop.signal.aborted)
					return;
				if (error.status === 404 || error.status === 409) {
					set((s) => ({ ...s, shown: null, over: error }));
					return;
				}
				set((s) => ({ ...s, lost: error.code ? error : { code: 'offline' } }));
			}
			if (!stop.signal.aborted)
				timer = setTimeout(open, AGAIN_MS);
		};
		const online = () => {
			clearTimeout(timer);
			timer = setTimeout(open, 0);
		};
		open();
		addEventListener('online', online);
		return () => {
			stop.abort();
			clearTimeout(timer);
			removeEventListener('online', online);
		};
	}, [base, running]);
	return state;
}
