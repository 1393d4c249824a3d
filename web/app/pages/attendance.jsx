/* A student's own attendance: what is open now, the rate, and every record with its reasons; one dispute for each. */
import { useState } from 'preact/hooks';

import { useData } from '../lib/data.js';
import { language, t } from '../lib/i18n.js';
import { useNewsOf } from '../lib/news.js';
import { session } from '../lib/session.js';
import { clock, fullDay } from '../lib/time.js';
import { Dispute } from '../ui/dispute.jsx';
import { said } from '../ui/layers.jsx';
import { Button, Empty, Listing, PageHead, Ring } from '../ui/parts.jsx';
import { StatusChip } from '../ui/status.jsx';

function Open() {
	const source = useData('/api/v1/student/sessions', { every: 30 });
	const sessions = source.data?.sessions ?? [];
	if (!sessions.length)
		return null;
	return (
		<section>
			<h2 class="section">{t('mine.open')}</h2>
			<ul class="rows">
				{sessions.map((s) => (
					<li key={s.id}>
						<div class="row-main"><strong>{s.title}</strong><span>{s.course && `${s.course.code} · `}{clock(s.starts_at)} – {clock(s.ends_at)} · {s.lecturer.full_name}</span></div>
						<Button href="/app/scan">{t('scan.title')}</Button>
					</li>
				))}
			</ul>
		</section>
	);
}

function Record({ r, why, onDispute }) {
	return (
		<li>
			<div class="row-main">
				<strong><a class="name-link" href={`/app/records/${r.attendance_id}`}>{r.event.title}</a></strong>
				<span>{fullDay(r.event.scheduled_at)}</span>
				{(why?.reasons ?? []).map((reason) => <small key={reason}>{said(reason)}</small>)}
				{why?.reason && <small>{said(why.reason)}</small>}
				{why?.disputed_at && <small>{t('mine.disputed', { note: why.dispute_note })}</small>}
			</div>
			<div class="row-side">
				{why && !why.disputed_at && r.status !== 'present' && <Button kind="quiet" onClick={() => onDispute(r)} aria-label={t('mine.disputeName', { title: r.event.title })}>{t('mine.dispute')}</Button>}
				<StatusChip status={r.status} />
				<span>{t('mine.at', { time: clock(r.marked_at) })}</span>
			</div>
		</li>
	);
}

export default function Attendance() {
	const mine = useNewsOf('/api/attendance/me');
	const { records = [], attended = 0, total = 0, attendance_rate: rate = 0 } = mine.data ?? {};
	const student = session.value.user.role === 'student';
	const history = useNewsOf(student ? '/api/v1/student/attendance' : null);
	const reasons = new Map((history.data?.records ?? []).map((h) => [h.attendance_id, h]));
	const [disputing, setDisputing] = useState(null);
	const name = session.value.user.full_name.split(' ')[0];
	const percent = new Intl.NumberFormat(language.value.id, { maximumFractionDigits: 0 }).format(rate);
	return (
		<>
			<PageHead title={t('mine.title')} lead={t('mine.lead', { name })}>
				<Button kind="primary" icon="scan" href="/app/scan">{t('scan.title')}</Button>
			</PageHead>
			{student && <Open />}
			<Listing source={mine} count={records.length} empty={
				<Empty icon="check" title={t('mine.empty')} action={<Button kind="primary" icon="scan" href="/app/scan">{t('scan.title')}</Button>}>{t('mine.emptyText')}</Empty>
			}>
				<section class="panel summary">
					<Ring left={rate} of={100} size={116} stroke={10}>{percent}<small>%</small></Ring>
					<div>
						<h2>{t('mine.rate')}</h2>
						<p>{t('mine.rateText', { attended, total })}</p>
					</div>
				</section>
				<h2 class="section">{t('mine.history')}</h2>
				<ul class="rows">
					{records.map((r) => <Record key={r.attendance_id} r={r} why={reasons.get(r.attendance_id)} onDispute={setDisputing} />)}
				</ul>
			</Listing>
			{disputing && <Dispute id={disputing.attendance_id} onClose={() => setDisputing(null)} onSent={() => {
				setDisputing(null);
				history.reload();
			}} />}
		</>
	);
}
