/* Codes that are valid now, and taking them back. */
import { useState } from 'preact/hooks';

import { useAction, useData } from '../lib/data.js';
import { t } from '../lib/i18n.js';
import { api } from '../lib/session.js';
import { clock, countdown, useSecondsLeft } from '../lib/time.js';
import { Button, Confirm, Empty, Failure, Listing, PageHead, Ring } from '../ui/parts.jsx';

const EVERY_S = 5;

function Row({ session: code, at, onChanged }) {
	const left = useSecondsLeft(at + code.time_remaining_seconds * 1000);
	const revoke = useAction(async () => {
		await api(`/api/admin/qr-sessions/${code.session_id}/revoke`, { method: 'POST' });
		onChanged();
	});
	return (
		<li>
			<Ring left={left} of={60} size={56}><span class="unseen">{t('approvals.left')} </span>{countdown(left)}</Ring>
			<div class="row-main">
				<strong>{code.event.title}</strong>
				<span>{t('codes.made', { time: clock(code.created_at) })} · {t('codes.marks', { n: code.marks })}</span>
				<Failure error={revoke.error} />
			</div>
			<div class="row-side">
				<Button busy={revoke.busy} onClick={revoke.run} aria-label={t('codes.revokeName', { title: code.event.title })}>{t('codes.revoke')}</Button>
			</div>
		</li>
	);
}

export default function Codes() {
	const source = useData('/api/admin/qr-sessions/active', { every: EVERY_S });
	const [asking, setAsking] = useState(false);
	const list = source.data?.sessions ?? [];
	const all = useAction(async () => {
		await api('/api/admin/qr-sessions/revoke-all', { method: 'POST' });
		setAsking(false);
		source.reload();
	});
	return (
		<>
			<PageHead title={t('codes.title')} lead={t('codes.lead')}>
				{list.length > 0 && <Button kind="danger-plain" onClick={() => setAsking(true)}>{t('codes.revokeAll')}</Button>}
			</PageHead>
			<Listing source={source} count={list.length} empty={<Empty icon="qr" title={t('codes.empty')} action={<Button href="/app/events">{t('events.title')}</Button>}>{t('codes.emptyText')}</Empty>}>
				<ul class="rows">{list.map((s) => <Row key={s.session_id} session={s} at={source.at} onChanged={source.reload} />)}</ul>
			</Listing>
			{asking && <Confirm title={t('codes.revokeAll')} text={t('codes.revokeAllText')} act={t('codes.revokeAll')} action={all} onClose={() => setAsking(false)} />}
		</>
	);
}
