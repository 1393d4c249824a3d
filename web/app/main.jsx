import { render } from 'preact';

import { startCheckin } from './lib/checkin.js';
import { startDisplays } from './lib/frames.js';
import { startLanguage } from './lib/i18n.js';
import { startNews } from './lib/news.js';
import { startRouter } from './lib/router.js';
import { startSession } from './lib/session.js';
import { startTheme } from './lib/theme.js';
import { Shell } from './ui/shell.jsx';

startTheme();
startRouter();
startDisplays();
startCheckin();
startSession();
startNews();
await startLanguage();
render(<Shell />, document.getElementById('app'));

/* Fetches the whole app: not while somebody waits for the first page. */
const keepShell = () => navigator.serviceWorker.register('/app/sw.js', { scope: '/' }).catch(() => undefined);
if ('serviceWorker' in navigator) {
	if (document.readyState === 'complete')
		setTimeout(keepShell);
	else
		addEventListener('load', () => setTimeout(keepShell), { once: true });
}
