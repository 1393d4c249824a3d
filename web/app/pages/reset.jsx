/* The link of a mail about a forgotten password: a new one. */
import { useState } from 'preact/hooks';

import { useAction } from '../lib/data.js';
import { takeFragment } from '../lib/fragment.js';
import { request } from '../lib/http.js';
import { t } from '../lib/i18n.js';
import { Card } from '../ui/card.jsx';
import { Button, Failure, Field, Form, Notice } from '../ui/parts.jsx';
import { Rules } from '../ui/rules.jsx';

export default function Reset() {
	const [token] = useState(takeFragment);
	const [password, setPassword] = useState('');
	const [done, setDone] = useState(false);
	const action = useAction(async () => {
		await request('/v1/auth/password-reset/confirm', { method: 'POST', body: { token, new_password: password } });
		setDone(true);
	});
	if (done)
		return (
			<Card title={t('reset.title')}>
				<div role="status"><Notice kind="good" title={t('reset.done')}>{t('reset.doneText')}</Notice></div>
				<Button kind="primary wide" href="/app/">{t('signin.act')}</Button>
			</Card>
		);
	if (!token || action.error?.code === 'invalid_token')
		return (
			<Card title={t('reset.title')}>
				<div role="alert"><Notice kind="warn" title={t('reset.dead')}>{t('reset.deadText')}</Notice></div>
				<Button kind="primary wide" href="/app/forgot">{t('forgot.act')}</Button>
			</Card>
		);
	return (
		<Card title={t('reset.title')} lead={t('reset.lead')}>
			<Form onSend={action.run}>
				<Failure error={action.error} />
				<Field label={t('account.newPassword')} type="password" autocomplete="new-password" required maxLength={1024} value={password}
					error={action.error?.fields?.new_password} onInput={(e) => setPassword(e.currentTarget.value)} />
				<Rules password={password} />
				<Button kind="primary wide" type="submit" busy={action.busy}>{t('reset.act')}</Button>
			</Form>
		</Card>
	);
}
