/* Figures and bars. */
import { language } from '../lib/i18n.js';

export function Figure({ label, value, note, href }) {
	const number = typeof value === 'string' ? value : new Intl.NumberFormat(language.value.id).format(value);
	const inner = <><span>{label}</span><b>{number}</b>{note && <small>{note}</small>}</>;
	return href ? <a class="figure" href={href}>{inner}</a> : <div class="figure">{inner}</div>;
}

/* rows: {key, name, note?, value, shown, href?}; a value of null has no bar.  `of` is what a full bar stands for, else the greatest value. */
export function Bars({ rows, of }) {
	const most = of ?? Math.max(1, ...rows.map((r) => r.value));
	return (
		<ol class="bars">
			{rows.map((r) => {
				const inner = (
					<>
						<span class="bar-name">{r.name}{r.note && <small>{r.note}</small>}</span>
						<span class="bar-line">{r.value !== null && <i style={{ inlineSize: `${(100 * r.value) / most}%` }} />}</span>
						<b>{r.shown}</b>
					</>
				);
				return <li key={r.key}>{r.href ? <a href={r.href}>{inner}</a> : <div class="bar">{inner}</div>}</li>;
			})}
		</ol>
	);
}
