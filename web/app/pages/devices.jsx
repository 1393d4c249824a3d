/* Students who ask for another device, and the decision. */
import { useState } from 'preact/hooks';

import { useAction, useData } from '../lib/data.js';
import { t } from '../lib/i18n.js';
import { api } from '../lib/session.js';
import { moment } from '../lib/time.js';
import { Button, Confirm, Empty, Failure, Listing, Notice, PageHead } from '../ui/parts.jsx';

const EVERY_S = 15;

function Request({ row, onDecided }) {
	const [denying, setDenying] = useState(false);
	const name = row.user.full_name;
	const decide = (path, word) => useAction(async () => {
		await api(path, { method: 'POST', body: { request_id: row.request_id } });
		setDenying(false);
		onDecided(t(word, { name }));
	});
	const approve = decide('/api/v1/admin/approve-imei-reset', 'devices.approved');
	const deny = decide('/api/v1/admin/deny-imei-reset', 'devices.denied');
	return (
		<li class="request">
			<div class="row-main">
				<strong>{name}</strong>
				<span>{row.user.email}</span>
				<small>{t('device.requested', { time: moment(row.requested_at) })} · {t(row.kind === 'imei' ? 'device.app' : 'device.browser')}</small>
				<small>{row.bound_at ? t('devices.has', { time: moment(row.bound_at) }) : t('devices.hasNone')}</small>
				{row.reason && <blockquote>{row.reason}</blockquote>}
				{row.owner && <Notice kind="warn">{t('devices.owner', { name: row.owner.full_name, email: row.owner.email })}</Notice>}
				<Failure error={approve.error} />
			</div>
			<div class="decide">
				<Button onClick={() => setDenying(true)} aria-label={t('devices.denyName', { name })}>{t('devices.deny')}</Button>
				<Button kind="primary" busy={approve.busy} onClick={approve.run} aria-label={t('devices.approveName', { name })}>{t('devices.approve')}</Button>
			</div>
			{denying && <Confirm title={t('devices.denyTitle', { name })} text={t('devices.denyText')} act={t('devices.deny')} action={deny} onClose={() => setDenying(false)} />}
		</li>
	);
}

export default function Devices() {
	const source = useData('/api/v1/admin/imei-resets', { every: EVERY_S });
	const [done, setDone] = useState('');
	const rows = source.data?.requests ?? [];
	return (
		<>
			<PageHead title={t('devices.title')} lead={t('devices.lead')} />
			<div role="status" class="said">{done && <Notice kind="good">{done}</Notice>}</div>
			<Listing source={source} count={rows.length} empty={<Empty icon="phone" title={t('devices.empty')}>{t('devices.emptyText')}</Empty>}>
				<ul class="rows">{rows.map((r) => <Request key={r.request_id} row={r} onDecided={(words) => {
					setDone(words);
					source.reload();
				}} />)}</ul>
			</Listing>
		</>
	);
}
