/* The secret behind the # of a link: read once, then out of the address bar and the history. */
export function takeFragment() {
	const text = location.hash.slice(1);
	if (text)
		history.replaceState(history.state, '', location.pathname + location.search);
	return text;
}
