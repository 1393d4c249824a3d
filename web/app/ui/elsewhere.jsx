/*
 * The screen on another computer: a link with a display token behind its #, which shows the codes and the count and is no login.  Ending
 * the screens withdraws every link of this event or session.
 */
import { useEffect, useRef, useState } from 'preact/hooks';

import { useAction } from '../lib/data.js';
import { t } from '../lib/i18n.js';
import { api } from '../lib/session.js';
import { clock } from '../lib/time.js';
import { Button, Dialog, Failure, Field, Notice } from './parts.jsx';

/* Without HTTPS there is no clipboard but the old one. */
async function copy(input) {
	input.select();
	if (navigator.clipboard)
		await navigator.clipboard.writeText(input.value);
	else if (!document.execCommand('copy'))
		throw new Error();
}

function Elsewhere({ base, page, onClose }) {
	const link = useRef(null);
	const [made, setMade] = useState(null);
	const [done, setDone] = useState(null); /* copied or ended */
	const make = useAction(async () => setMade(await api(`${base}/display`, { method: 'POST' })));
	const end = useAction(async () => {
		await api(`${base}/display`, { method: 'DELETE' });
		setMade(null);
		setDone('ended');
	});
	const copying = useAction(async () => {
		await copy(link.current);
		setDone('copied');
	});
	useEffect(() => {
		make.run();
	}, []);
	return (
		<Dialog title={t('elsewhere.title')} onClose={onClose}>
			<div class="form">
				<p class="text">{t('elsewhere.text')}</p>
				<Failure error={make.error ?? end.error} />
				{made && (
					<Field label={t('elsewhere.link')} readOnly dir="ltr" inputRef={link} value={`${location.origin}${page}#${made.display_token}`} onFocus={(e) => e.currentTarget.select()}
						hint={t('elsewhere.until', { time: clock(made.expires_at) })} />
				)}
				{made?.streams > 0 && <p class="hint">{t('elsewhere.screens', { n: made.streams })}</p>}
				<div role="status">{done && <Notice kind="good">{t(`elsewhere.${done}`)}</Notice>}</div>
				<footer>
					<Button kind="danger-plain" busy={end.busy} onClick={end.run}>{t('elsewhere.end')}</Button>
					{made && <Button kind="primary" busy={copying.busy} onClick={copying.run}>{t('elsewhere.copy')}</Button>}
				</footer>
			</div>
		</Dialog>
	);
}

/* `base`: the event or session in the API; `page`: its screen in the app. */
export function ElsewhereButton(props) {
	const [open, setOpen] = useState(false);
	return (
		<>
			<Button icon="screen" onClick={() => setOpen(true)}>{t('elsewhere.act')}</Button>
			{open && <Elsewhere {...props} onClose={() => setOpen(false)} />}
		</>
	);
}
