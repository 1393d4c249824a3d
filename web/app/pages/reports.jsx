/* A lecturer's figures and series; for administrators also what was flagged, and why. */
import { useState } from 'preact/hooks';

import { useData } from '../lib/data.js';
import { language, t } from '../lib/i18n.js';
import { session } from '../lib/session.js';
import { date } from '../lib/time.js';
import { Bars, Figure } from '../ui/figures.jsx';
import { Empty, Failure, Listing, PageHead, Skeleton, Tabs } from '../ui/parts.jsx';

const statuses = ['present', 'late', 'excused', 'absent', 'flagged', 'rejected'];
const percent = (n) => `${new Intl.NumberFormat(language.value.id, { minimumFractionDigits: 1 }).format(n)} %`;
const weekday = (iso) => new Intl.DateTimeFormat(language.value.id, { weekday: 'long', timeZone: 'UTC' }).format(new Date(iso));

/* A time whose sessions are not over, or have no roster, has no rate. */
const known = (p) => p.expected > 0;

/* Rates by day of the week; a day counts as much as were expected. */
function byWeekday(series) {
	const days = new Map();
	for (const p of series.filter(known)) {
		const n = (new Date(p.start).getUTCDay() + 6) % 7;
		const d = days.get(n) ?? { name: weekday(p.start), sum: 0, expected: 0 };
		d.sum += p.attendance_rate * p.expected;
		d.expected += p.expected;
		days.set(n, d);
	}
	return [...days].sort(([a], [b]) => a - b).map(([n, d]) => ({ key: n, name: d.name, value: d.sum / d.expected, shown: percent(d.sum / d.expected) }));
}

function Flags() {
	const source = useData('/api/v1/admin/analytics');
	const flags = Object.entries(source.data?.flags ?? {});
	return (
		<section>
			<h2 class="section">{t('reports.flags')}</h2>
			<Failure error={source.error} />
			<div class="panel"><Bars rows={flags.map(([layer, n]) => ({ key: layer, name: t(`layer.${layer}`), value: n, shown: n }))} /></div>
		</section>
	);
}

export default function Reports() {
	const [period, setPeriod] = useState('week');
	const board = useData('/api/v1/lecturer/dashboard');
	const report = useData(`/api/v1/lecturer/reports?period=${period}`);
	const days = useData('/api/v1/lecturer/reports?period=day');
	const d = board.data;
	const series = report.data?.series ?? [];
	return (
		<>
			<PageHead title={t('reports.title')} lead={t('reports.lead')}>
				<Tabs label={t('reports.period')} value={period} onChange={setPeriod} options={['day', 'week', 'month'].map((p) => ({ value: p, label: t(`reports.${p}`) }))} />
			</PageHead>
			{board.loading && <Skeleton rows={3} />}
			<Failure error={board.error} retry={board.reload} />
			{d && (
				<div class="figures">
					<Figure label={t('stats.rate')} value={percent(d.average_attendance_rate)} note={t('reports.rateNote')} />
					<Figure label={t('sessions.title')} value={d.sessions.total} note={t('reports.open', { n: d.sessions.open })} href="/app/sessions" />
					<Figure label={t('reports.students')} value={d.students} />
					{statuses.filter((s) => d.records[s]).map((s) => <Figure key={s} label={t(`status.${s}`)} value={d.records[s]} />)}
				</div>
			)}
			<h2 class="section">{t('reports.series')}</h2>
			<Listing source={report} count={series.length} empty={<Empty icon="chart" title={t('reports.empty')}>{t('reports.emptyText')}</Empty>}>
				<div class="panel"><Bars of={100} rows={series.map((p) => ({
					key: p.start, name: date(p.start),
					note: `${t('reports.sessions', { n: p.sessions })}${known(p) ? '' : ` · ${t('reports.noRate')}`}`, value: known(p) ? p.attendance_rate : null, shown: known(p) ? percent(p.attendance_rate) : '–',
				}))} /></div>
			</Listing>
			{(days.data?.series ?? []).some(known) && (
				<section>
					<h2 class="section">{t('reports.weekdays')}</h2>
					<div class="panel"><Bars of={100} rows={byWeekday(days.data.series)} /></div>
				</section>
			)}
			{session.value.user.role === 'admin' && <Flags />}
		</>
	);
}
