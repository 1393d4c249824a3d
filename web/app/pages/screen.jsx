/* The screen of a session. */
import { useData } from '../lib/data.js';
import { handedToken, useFrames } from '../lib/frames.js';
import { t } from '../lib/i18n.js';
import { session } from '../lib/session.js';
import { clock, day } from '../lib/time.js';
import { Screen } from '../ui/stage.jsx';

export default function SessionScreen({ params }) {
	const path = `/api/v1/lecturer/sessions/${params.id}`;
	const handed = !!handedToken();
	const source = useData(handed ? null : path);
	const frames = useFrames(path, session.value.state === 'in');
	const f = frames.frame;
	const s = source.data ?? (f && { ...f.session, course: f.course, lecturer: f.lecturer });
	return (
		<Screen source={source} frames={frames} ready={!!s} handed={handed} title={s?.course ? `${s.course.code} · ${s.title}` : s?.title}
			lead={s && `${day(s.starts_at)}, ${clock(s.starts_at)} – ${clock(s.ends_at)} · ${s.lecturer.full_name}`}
			back={handed ? null : { href: `/app/sessions/${params.id}`, list: '/app/sessions', label: t('sessions.title') }} />
	);
}
