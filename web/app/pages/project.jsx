/* The screen of an event. */
import { useData } from '../lib/data.js';
import { handedToken, useFrames } from '../lib/frames.js';
import { t } from '../lib/i18n.js';
import { session } from '../lib/session.js';
import { clock, day } from '../lib/time.js';
import { Screen } from '../ui/stage.jsx';

export default function Project({ params }) {
	const handed = !!handedToken();
	const source = useData(handed ? null : `/api/events/${params.id}`);
	const frames = useFrames(`/api/admin/events/${params.id}`, session.value.state === 'in');
	const e = source.data ?? frames.frame?.event;
	return (
		<Screen source={source} frames={frames} ready={!!e} handed={handed} title={e?.title}
			lead={e && `${day(e.scheduled_at)}, ${clock(e.scheduled_at)}${e.notes ? ` · ${e.notes}` : ''}`}
			back={handed ? null : { href: `/app/events/${params.id}`, list: '/app/events', label: t('events.title') }} />
	);
}
