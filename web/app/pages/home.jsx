/* /app/: the way in.  Who is signed in goes to the first page of their menu, or to where they wanted. */
import { useEffect } from 'preact/hooks';

import { scan } from '../lib/checkin.js';
import { t } from '../lib/i18n.js';
import { go } from '../lib/router.js';
import { session, startSession } from '../lib/session.js';
import { menuOf } from '../pages.js';
import { Card } from '../ui/card.jsx';
import { Button, Empty, Notice } from '../ui/parts.jsx';
import { SignIn } from '../ui/signin.jsx';

function wanted(role) {
	if (['account', 'marking'].includes(scan.peek().phase))
		return '/c';
	const next = new URLSearchParams(location.search).get('next') ?? '';
	const home = menuOf(role)[role === 'student' ? 1 : 0];
	return /^\/app\/[a-z0-9/-]+$/.test(next) ? next : home.path;
}

export default function Home() {
	const { state, user } = session.value;
	useEffect(() => {
		if (state === 'in')
			go(wanted(user.role), { replace: true });
	}, [state]);

	if (state === 'offline')
		return <Empty page icon="cloud" title={t('offline.title')} action={<Button kind="primary" onClick={startSession}>{t('again')}</Button>}>{t('offline.text')}</Empty>;
	if (state !== 'out')
		return null;
	return (
		<Card title={t('signin.title')} lead={t('signin.lead')}>
			{scan.value.phase === 'account' && <Notice kind="good">{t('checkin.banner.account', { title: scan.value.event?.title })}</Notice>}
			<SignIn />
		</Card>
	);
}
