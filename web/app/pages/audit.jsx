/* The audit log: who did what, when, from where. */
import { useState } from 'preact/hooks';

import { useData } from '../lib/data.js';
import { has, t } from '../lib/i18n.js';
import { exact } from '../lib/time.js';
import { Button, Chip, Empty, Field, Listing, PageHead, Pager } from '../ui/parts.jsx';
import { StatusChip } from '../ui/status.jsx';

const LIMIT = 50;
const actions = [
	'login', 'login_failed', 'logout', 'signup', 'approval_approved', 'approval_rejected', 'approval_timeout', 'attendance_marked', 'attendance_failed',
	'attendance_changed', 'qr_generated', 'qr_revoked', 'event_created', 'event_updated', 'event_deleted', 'refresh_reuse_detected', 'role_changed',
	'account_disabled', 'export', 'import', 'backup', 'restore',
];
const nameOf = (action) => (has(`action.${action}`) ? t(`action.${action}`) : action.replace(/_/g, ' '));
const none = { action: '', user: null, from: '', to: '' };

function query({ action, user, from, to }, page) {
	const q = new URLSearchParams({ page, limit: LIMIT });
	if (action)
		q.set('action', action);
	if (user)
		q.set('user_id', user.id);
	if (from)
		q.set('from', new Date(`${from}T00:00`).toISOString());
	if (to) {
		const end = new Date(`${to}T00:00`);
		end.setDate(end.getDate() + 1);
		q.set('to', new Date(end.getTime() - 1000).toISOString());
	}
	return `/api/admin/audit-logs?${q}`;
}

function Entry({ log, onActor }) {
	const more = [
		[t('audit.entity'), log.entity_type && `${log.entity_type} ${log.entity_id ?? ''}`], [t('audit.ip'), log.ip_address],
		[t('audit.agent'), log.user_agent], [t('audit.request'), log.request_id],
	].filter(([, v]) => v);
	return (
		<li>
			<details>
				<summary>
					<span class="row-main"><strong>{nameOf(log.action)}</strong><span>{log.actor?.email ?? t('audit.nobody')}</span></span>
					<span class="row-side"><StatusChip status={log.result} /><time datetime={log.created_at}>{exact(log.created_at)}</time></span>
				</summary>
				<div class="log-more">
					<dl>{more.map(([k, v]) => <div key={k}><dt>{k}</dt><dd>{v}</dd></div>)}</dl>
					{log.details && Object.keys(log.details).length > 0 && <pre tabIndex={0} aria-label={t('audit.details')}>{JSON.stringify(log.details, null, 2)}</pre>}
					{log.actor && <Button onClick={() => onActor(log.actor)}>{t('audit.onlyActor', { email: log.actor.email })}</Button>}
				</div>
			</details>
		</li>
	);
}

export default function Audit() {
	const [filter, setFilter] = useState(none);
	const [page, setPage] = useState(1);
	const source = useData(query(filter, page));
	const { logs = [], total = 0 } = source.data ?? {};
	const change = (part) => {
		setFilter({ ...filter, ...part });
		setPage(1);
	};
	const filtered = filter.action || filter.user || filter.from || filter.to;
	return (
		<>
			<PageHead title={t('audit.title')} lead={t('audit.lead')}>
				<Button onClick={source.reload}>{t('audit.reload')}</Button>
			</PageHead>
			<section class="panel filters" aria-label={t('audit.filters')}>
				<Field label={t('audit.action')} as="select" value={filter.action} onChange={(e) => change({ action: e.currentTarget.value })}>
					<option value="">{t('audit.every')}</option>
					{actions.map((a) => <option key={a} value={a}>{nameOf(a)}</option>)}
				</Field>
				<Field label={t('audit.from')} type="date" value={filter.from} max={filter.to || undefined} onChange={(e) => change({ from: e.currentTarget.value })} />
				<Field label={t('audit.to')} type="date" value={filter.to} min={filter.from || undefined} onChange={(e) => change({ to: e.currentTarget.value })} />
				{filtered && <Button onClick={() => change(none)}>{t('audit.clear')}</Button>}
				{filter.user && <p><Chip kind="info">{filter.user.email}</Chip></p>}
			</section>
			<Listing source={source} count={logs.length} rows={8} empty={<Empty icon="list" title={t('audit.empty')}>{t('audit.emptyText')}</Empty>}>
				<ul class="rows logs">{logs.map((l) => <Entry key={l.id} log={l} onActor={(user) => change({ user })} />)}</ul>
				<Pager page={page} limit={LIMIT} total={total} onPage={setPage} />
			</Listing>
		</>
	);
}
