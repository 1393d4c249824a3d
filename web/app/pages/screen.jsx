/* The screen of a session. */
import { useData } from '../lib/data.js';
import { useFrames } from '../lib/frames.js';
import { t } from '../lib/i18n.js';
import { session, startSession } from '../lib/session.js';
import { clock, day } from '../lib/time.js';
import { Button, Failure, Skeleton } from '../ui/parts.jsx';
import { Stage } from '../ui/stage.jsx';

export default function Screen({ params }) {
	const path = `/api/v1/lecturer/sessions/${params.id}`;
	const source = useData(path);
	const frames = useFrames(path, session.value.state === 'in');
	if (source.loading)
		return <Skeleton />;
	const s = source.data;
	if (!s)
		return <div class="project"><Failure error={source.error} retry={() => startSession().then(source.reload)} /><Button href="/app/sessions">{t('sessions.title')}</Button></div>;
	return <Stage title={s.course ? `${s.course.code} · ${s.title}` : s.title} lead={`${day(s.starts_at)}, ${clock(s.starts_at)} – ${clock(s.ends_at)} · ${s.lecturer.full_name}`} back={`/app/sessions/${s.id}`} frames={frames} />;
}
