/* The address bar as a signal.  Links stay ordinary links; clicks on those of the app are taken over. */
import { signal } from '@preact/signals';

import { pages } from '../pages.js';

export const place = signal(location.pathname);

const tidy = (path) => (path === '/app' || path === '/app/' ? '/app/' : path.replace(/(.)\/+$/, '$1'));

/** The page of a path, with the values of its `:names`. */
export function pageOf(path) {
	const parts = tidy(path).split('/');
	for (const page of pages) {
		const want = page.path.split('/');
		const params = {};
		if (want.length === parts.length &&
			want.every((w, i) => (w[0] === ':' ? (params[w.slice(1)] = decodeURIComponent(parts[i])) !== '' : w === parts[i])))
			return { page, params };
	}
	return { page: null, params: {} };
}

export function go(path, { replace = false } = {}) {
	const url = new URL(path, location.origin);
	history[replace ? 'replaceState' : 'pushState'](null, '', url);
	place.value = url.pathname;
}

export function startRouter() {
	addEventListener('popstate', () => {
		place.value = location.pathname;
	});
	addEventListener('click', (e) => {
		const a = e.target.closest?.('a[href]');
		if (!a || e.defaultPrevented || e.button !== 0 || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey || a.target || a.download)
			return;
		const url = new URL(a.href);
		if (url.origin !== location.origin || !pageOf(url.pathname).page)
			return;
		e.preventDefault();
		go(url.pathname + url.search);
	});
}
