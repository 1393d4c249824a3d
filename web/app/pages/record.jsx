/*
 * One record and all that became of it: how it was made, what the checks found, who changed it, when and why.  For whoever decides about
 * it, and for the student, who is told everything but which person decided.
 */
import { useState } from 'preact/hooks';

import { t } from '../lib/i18n.js';
import { useNewsOf } from '../lib/news.js';
import { session } from '../lib/session.js';
import { exact, fullDay } from '../lib/time.js';
import { Decide, useDraft } from '../ui/decide.jsx';
import { Dispute } from '../ui/dispute.jsx';
import { Layers, said } from '../ui/layers.jsx';
import { Button, Failure, PageHead, Skeleton } from '../ui/parts.jsx';
import { Selfie } from '../ui/selfie.jsx';
import { StatusChip } from '../ui/status.jsx';

const MADE = 'none'; /* of a change: there was no record before */

function by(change) {
	if (!change.by_role)
		return t('record.byRule');
	const role = t(`role.${change.by_role}`);
	if (!change.by)
		return role;
	return change.by.id === session.value.user.id ? t('record.byYou') : t('record.byName', { name: change.by.full_name, role });
}

/* What happened, oldest first: {at, title, from, to, text, who}. */
function stepsOf(r) {
	const changes = r.changes.map((c) => ({
		at: c.at, title: t(c.from === MADE ? 'record.made' : c.from === c.to ? 'record.confirmed' : 'record.changed'),
		from: c.from === MADE || c.from === c.to ? null : c.from, to: c.to, text: said(c.reason), quoted: !!c.by_role, who: by(c),
	}));
	const steps = r.changes[0]?.from === MADE ? changes : [{
		at: r.marked_at, title: t(`record.by.${r.method}`), to: r.original_status, text: r.changes.length ? null : r.reason && said(r.reason),
	}, ...changes];
	if (r.disputed_at) { /* of the same second, a change answers it */
		const after = steps.findIndex((s, i) => i > 0 && Date.parse(s.at) >= Date.parse(r.disputed_at));
		steps.splice(after < 0 ? steps.length : after, 0, { at: r.disputed_at, title: t('record.disputed'), text: r.dispute_note, quoted: true });
	}
	return steps;
}

function Step({ step }) {
	return (
		<li>
			<time datetime={step.at}>{exact(step.at)}</time>
			<div>
				<p><strong>{step.title}</strong> {step.from && <><StatusChip status={step.from} /> <span aria-hidden="true">→</span><span class="unseen">{t('record.to')}</span> </>}{step.to && <StatusChip status={step.to} />}</p>
				{step.text && (step.quoted ? <blockquote>{step.text}</blockquote> : <p>{step.text}</p>)}
				{step.who && <small>{step.who}</small>}
			</div>
		</li>
	);
}

function backOf(r, own) {
	if (own)
		return { href: '/app/attendance', label: t('mine.title') };
	if (r.session.kind === 'session')
		return session.value.user.role === 'reviewer' ? { href: '/app/flagged', label: t('flagged.title') } : { href: `/app/sessions/${r.session.id}`, label: r.session.title };
	return { href: `/app/events/${r.session.id}`, label: r.session.title };
}

/* A disputed record of one's own, and one that nothing is wrong with, cannot be disputed. */
const disputable = (r) => session.value.user.role === 'student' && !r.disputed_at && r.status !== 'present';

export default function RecordPage({ params }) {
	const source = useNewsOf(`/api/v1/attendance/${params.id}/history`);
	const [draft, write] = useDraft(params.id);
	const [disputing, setDisputing] = useState(false);
	const r = source.data;
	if (!r)
		return <><PageHead title={t('record.title')} />{source.loading ? <Skeleton /> : <Failure error={source.error} retry={source.reload} />}</>;
	const own = r.student.id === session.value.user.id;
	return (
		<>
			<PageHead title={own ? r.session.title : r.student.full_name} back={backOf(r, own)} lead={own ? fullDay(r.session.starts_at) : `${r.session.title} · ${fullDay(r.session.starts_at)}`}>
				{!own && <Button kind="primary" onClick={() => write({ rows: [r] })}>{t('flagged.decide')}</Button>}
				{own && disputable(r) && <Button onClick={() => setDisputing(true)}>{t('mine.dispute')}</Button>}
			</PageHead>
			<Failure error={source.error} retry={source.reload} />
			<section class="panel record">
				<h2>{t('record.now')} <StatusChip status={r.status} /></h2>
				<dl>
					{!own && <div><dt>{t('email')}</dt><dd>{r.student.email}</dd></div>}
					<div><dt>{t('record.markedAt')}</dt><dd>{exact(r.marked_at)}</dd></div>
					<div><dt>{t('event.how')}</dt><dd>{t(`method.${r.method}`)}</dd></div>
				</dl>
			</section>
			<section class="panel">
				<h2>{t('record.checks')}</h2>
				{r.layers ? <Layers layers={r.layers} distance={r.distance_m} all /> : <p class="text">{t(r.method === 'manual' || r.method === 'import' ? 'record.noChecks' : 'record.nothingFound')}</p>}
				{!own && <Selfie record={r} days={r.selfie_days} />}
			</section>
			<section class="panel">
				<h2>{t('record.story')}</h2>
				<ol class="story">{stepsOf(r).map((s, i) => <Step key={i} step={s} />)}</ol>
			</section>
			{draft.rows && <Decide draft={draft} onChange={write} onDecided={source.reload} onClose={() => write({})} />}
			{disputing && <Dispute id={r.attendance_id} onClose={() => setDisputing(false)} onSent={() => {
				setDisputing(false);
				source.reload();
			}} />}
		</>
	);
}
