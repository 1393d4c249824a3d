/* A lecturer's sessions. */
import { useState } from 'preact/hooks';

import { useData } from '../lib/data.js';
import { t } from '../lib/i18n.js';
import { clock, day, fullDay } from '../lib/time.js';
import { Icon } from '../ui/icons.jsx';
import { Button, Chip, Empty, Listing, PageHead } from '../ui/parts.jsx';
import { SessionDialog, StateChip } from '../ui/session.jsx';

function Row({ s }) {
	const { present, late, flagged } = s.counts;
	const came = present + late + flagged;
	return (
		<li>
			<a class="row-link" href={`/app/sessions/${s.id}`}>
				<span class="date" aria-hidden="true"><b>{new Date(s.starts_at).getDate()}</b>{day(s.starts_at).replace(/[\d.]+/g, '').replace(/[\s,]+/g, ' ').trim()}</span>
				<div class="row-main">
					<strong>{s.title}</strong>
					<span><span class="unseen">{fullDay(s.starts_at)}, </span>{clock(s.starts_at)} – {clock(s.ends_at)}{s.course && ` · ${s.course.code}`}</span>
				</div>
				<div class="row-side">
					{flagged > 0 && <Chip kind="warn">{t('sessions.flagged', { n: flagged })}</Chip>}
					<StateChip status={s.status} />
					<span class="heads"><Icon name="people" size={18} /><span aria-hidden="true">{came}</span><span class="unseen">{t('events.count', { n: came })}</span></span>
				</div>
			</a>
		</li>
	);
}

export default function Sessions() {
	const source = useData('/api/v1/lecturer/sessions', { every: 30 });
	const [creating, setCreating] = useState(false);
	const sessions = source.data?.sessions ?? [];
	const groups = ['open', 'scheduled', 'closed'].map((status) => ({ status, list: sessions.filter((s) => s.status === status) })).filter((g) => g.list.length);
	const create = <Button kind="primary" icon="plus" onClick={() => setCreating(true)}>{t('session.new')}</Button>;
	return (
		<>
			<PageHead title={t('sessions.title')} lead={t('sessions.lead')}>{create}</PageHead>
			<Listing source={source} count={sessions.length} empty={<Empty icon="calendar" title={t('sessions.empty')} action={create}>{t('sessions.emptyText')}</Empty>}>
				{groups.map((g) => (
					<section key={g.status}>
						<h2 class="section">{t(`state.${g.status}`)}</h2>
						<ul class="rows">{g.list.map((s) => <Row key={s.id} s={s} />)}</ul>
					</section>
				))}
			</Listing>
			{creating && <SessionDialog onClose={() => setCreating(false)} onSaved={() => {
				setCreating(false);
				source.reload();
			}} />}
		</>
	);
}
