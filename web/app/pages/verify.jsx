/* The link of a mail that asks whether an address is right.  A button, so that no scanner of mails confirms it by looking. */
import { useState } from 'preact/hooks';

import { useAction } from '../lib/data.js';
import { takeFragment } from '../lib/fragment.js';
import { request } from '../lib/http.js';
import { t } from '../lib/i18n.js';
import { Card } from '../ui/card.jsx';
import { Button, Failure, Notice } from '../ui/parts.jsx';

export default function Verify() {
	const [token] = useState(takeFragment);
	const [done, setDone] = useState(false);
	const action = useAction(async () => {
		await request('/v1/auth/email/verify', { method: 'POST', body: { token } });
		setDone(true);
	});
	return (
		<Card title={t('verify.title')} lead={done ? undefined : t('verify.lead')}>
			<div role="status">{done && <Notice kind="good" title={t('verify.done')}>{t('verify.doneText')}</Notice>}</div>
			<Failure error={action.error} />
			{done ? <Button kind="primary wide" href="/app/">{t('home')}</Button> : <Button kind="primary wide" busy={action.busy} onClick={action.run}>{t('verify.act')}</Button>}
		</Card>
	);
}
