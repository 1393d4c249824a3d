/* Who asks for an account, with the time that is left to decide. */
import { useState } from 'preact/hooks';

import { useAction, useData, usePost } from '../lib/data.js';
import { t } from '../lib/i18n.js';
import { stirred } from '../lib/news.js';
import { countdown, moment, useSecondsLeft } from '../lib/time.js';
import { Button, DialogForm, Empty, errorText, Field, Listing, Notice, PageHead, Pager, Ring, Say, Tabs } from '../ui/parts.jsx';
import { StatusChip } from '../ui/status.jsx';

const LIMIT = 20;
const EVERY_S = 4;
const roles = ['student', 'lecturer', 'reviewer', 'admin'];

function Left({ seconds, at }) {
	const left = useSecondsLeft(at + seconds * 1000);
	return <Ring left={left} of={Math.max(180, seconds)} size={56}><span class="unseen">{t('approvals.left')} </span>{countdown(left)}</Ring>;
}

function Request({ request, at, mail, onDecided }) {
	const [role, setRole] = useState('student');
	const [rejecting, setRejecting] = useState(false);
	const [reason, setReason] = useState('');
	const post = usePost();
	const decide = useAction(async (decision) => {
		const body = decision === 'approved' ? { decision, approved_role: role } : { decision, rejection_reason: reason.trim() || null };
		await post(`/api/admin/approval-requests/${request.id}/decide`, body);
		setRejecting(false);
		onDecided();
	});
	const { user } = request;
	const pending = request.status === 'pending';
	return (
		<li class="request">
			{pending && <Left seconds={request.time_remaining_seconds} at={at} />}
			<div class="row-main">
				<strong>{user.full_name}</strong>
				<span>{user.email}</span>
				<small>{t('approvals.asked', { time: moment(request.requested_at) })}{request.attempts > 1 && ` · ${t('approvals.attempts', { n: request.attempts })}`}{request.ip_address && ` · ${request.ip_address}`}</small>
				{pending && mail && !request.email_verified && <Notice kind="warn">{t('approvals.unproven')}</Notice>}
				{decide.error && !rejecting && <p class="field-error" role="alert">{errorText(decide.error)}</p>}
			</div>
			{pending ? (
				<div class="decide">
					<Field label={t('approvals.role')} as="select" value={role} onChange={(e) => setRole(e.currentTarget.value)}>
						{roles.map((r) => <option key={r} value={r}>{t(`role.${r}`)}</option>)}
					</Field>
					<Button onClick={() => setRejecting(true)} aria-label={t('approvals.rejectName', { name: user.full_name })}>{t('approvals.reject')}</Button>
					<Button kind="primary" busy={decide.busy} onClick={() => decide.run('approved')} aria-label={t('approvals.approveName', { name: user.full_name })}>{t('approvals.approve')}</Button>
				</div>
			) : <div class="row-side"><StatusChip status={request.status} /></div>}
			{rejecting && (
				<DialogForm title={t('approvals.rejectTitle', { name: user.full_name })} action={{ ...decide, run: () => decide.run('rejected') }} act={t('approvals.reject')} kind="danger" onClose={() => setRejecting(false)}>
					<Field label={t('approvals.reason')} hint={t('approvals.reasonHint')} as="textarea" rows={3} maxLength={500} value={reason} onInput={(e) => setReason(e.currentTarget.value)} />
				</DialogForm>
			)}
		</li>
	);
}

export default function Approvals() {
	const [status, setStatus] = useState('pending');
	const [page, setPage] = useState(1);
	const source = useData(`/api/admin/approval-requests?status=${status}&page=${page}&limit=${LIMIT}`, { every: status === 'pending' ? EVERY_S : 0, again: stirred.value });
	const { requests = [], total = 0, mail_configured: mail } = source.data ?? {};
	return (
		<>
			<PageHead title={t('approvals.title')} lead={t('approvals.lead')}>
				<Tabs label={t('approvals.filter')} value={status} onChange={(s) => {
					setStatus(s);
					setPage(1);
				}} options={['pending', 'approved', 'rejected', 'timeout'].map((s) => ({ value: s, label: t(`status.${s}`) }))} />
			</PageHead>
			{status === 'pending' && source.data && <Say>{t('approvals.waiting', { n: total })}</Say>}
			<Listing source={source} count={requests.length} empty={
				<Empty icon="people" title={t(status === 'pending' ? 'approvals.empty' : 'approvals.none')}>{t(status === 'pending' ? 'approvals.emptyText' : 'approvals.noneText')}</Empty>
			}>
				<ul class="rows">{requests.map((r) => <Request key={r.id} request={r} at={source.at} mail={mail} onDecided={source.reload} />)}</ul>
				<Pager page={page} limit={LIMIT} total={total} onPage={setPage} />
			</Listing>
		</>
	);
}
