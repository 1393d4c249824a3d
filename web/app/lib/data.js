/*
 * Reading lists for pages: the last answer of each path is shown at once and renewed behind it, so that going back and forth does not
 * blink.  Forgotten when the account changes.
 */
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';

import { randomKey } from './http.js';
import { api, onAccountChange } from './session.js';

const known = new Map();
let accounts = 0; /* that there were */
onAccountChange(() => {
	known.clear();
	accounts++;
});

/* `at`: when the answer came, by performance.now(). */
const before = (path) => ({ path, data: null, at: 0, error: null, ...known.get(path) });

/**
 * @param {string|null} path  null: nothing to ask yet
 * @param {{every?: number, again?: any}} [o]  every: seconds between renewals while the page is seen; again: renewed when it changes
 */
export function useData(path, { every = 0, again: reason } = {}) {
	const [state, set] = useState(before(path));
	const asked = useRef(0);
	const shown = state.path === path ? state : before(path);

	const reload = useCallback(async () => {
		if (!path)
			return;
		const mine = ++asked.current;
		const whose = accounts;
		try {
			const data = await api(path);
			if (whose !== accounts) { /* what another account sees, or nobody any more */
				if (mine === asked.current)
					await reload();
				return;
			}
			known.set(path, { data, at: performance.now() });
			if (mine === asked.current)
				set(before(path));
		} catch (error) {
			if (mine === asked.current)
				set({ ...before(path), error });
		}
	}, [path]);

	useEffect(() => {
		reload();
		return () => {
			asked.current++;
		};
	}, [reload, reason]);

	useEffect(() => {
		const again = () => document.visibilityState === 'visible' && reload();
		const timer = every ? setInterval(again, every * 1000) : 0;
		addEventListener('online', reload);
		if (every)
			addEventListener('visibilitychange', again);
		return () => {
			clearInterval(timer);
			removeEventListener('online', reload);
			removeEventListener('visibilitychange', again);
		};
	}, [reload, every]);

	return { ...shown, loading: !shown.data && !shown.error, reload };
}

/**
 * Posts of a form: (path, body) gives the reply.  One Idempotency-Key for one body: what was carried out while its reply was lost is not
 * done twice, and a corrected form is another request.  What was refused is asked anew.
 */
export function usePost() {
	const keys = useRef(new Map()).current;
	return async (path, body) => {
		const said = JSON.stringify([path, body]);
		if (!keys.has(said))
			keys.set(said, randomKey());
		try {
			return await api(path, { method: 'POST', body, key: keys.get(said) });
		} catch (error) {
			if (!error.unknown)
				keys.delete(said);
			throw error;
		}
	};
}

/** An action behind a button: runs once at a time and keeps its error for showing. */
export function useAction(fn) {
	const [state, set] = useState({ busy: false, error: null });
	const running = useRef(false);
	const run = async (...args) => {
		if (running.current)
			return undefined;
		running.current = true;
		set({ busy: true, error: null });
		try {
			const result = await fn(...args);
			running.current = false;
			set({ busy: false, error: null });
			return result;
		} catch (error) {
			running.current = false;
			set({ busy: false, error });
			return undefined;
		}
	};
	return { ...state, run, clear: () => set({ busy: false, error: null }) };
}
