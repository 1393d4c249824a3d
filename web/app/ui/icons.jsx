/* Line icons, 24 by 24, drawn for this app. */
const shapes = {
	scan: 'M4 8V5a1 1 0 0 1 1-1h3M16 4h3a1 1 0 0 1 1 1v3M20 16v3a1 1 0 0 1-1 1h-3M8 20H5a1 1 0 0 1-1-1v-3M4 12h16',
	check: 'M4.5 12.5l5 5L20 7',
	calendar: 'M5 6h14a1 1 0 0 1 1 1v12a1 1 0 0 1-1 1H5a1 1 0 0 1-1-1V7a1 1 0 0 1 1-1zM4 10.5h16M8.5 3.5V8M15.5 3.5V8',
	people: 'M9 11.5a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM2.5 20c.4-3.6 3-5.5 6.5-5.5s6.1 1.9 6.5 5.5M15.5 4.8a3.5 3.5 0 0 1 0 6.4M18 14.9c2 .8 3.2 2.5 3.5 5.1',
	qr: 'M4 4h6v6H4zM14 4h6v6h-6zM4 14h6v6H4zM14 14h2.5v2.5H14zM17.5 17.5H20V20h-2.5M20 14v0M14 20v0',
	chart: 'M4 20V4M4 20h16M8.5 16v-4M13 16V8M17.5 16v-6',
	list: 'M8.5 6H20M8.5 12H20M8.5 18H20M4 6h.01M4 12h.01M4 18h.01',
	bell: 'M6 16.5V11a6 6 0 1 1 12 0v5.5l1.5 1.5h-15zM10 20.5c.9 1 3.1 1 4 0',
	more: 'M6 11a1 1 0 1 0 0 2 1 1 0 0 0 0-2zM12 11a1 1 0 1 0 0 2 1 1 0 0 0 0-2zM18 11a1 1 0 1 0 0 2 1 1 0 0 0 0-2z',
	person: 'M12 11.5a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4.5 20.5c.5-3.8 3.6-6 7.5-6s7 2.2 7.5 6',
	dot: 'M12 11a1 1 0 1 0 0 2 1 1 0 0 0 0-2z',
	plus: 'M12 5v14M5 12h14',
	cross: 'M6 6l12 12M18 6L6 18',
	clock: 'M12 20.5a8.5 8.5 0 1 0 0-17 8.5 8.5 0 0 0 0 17zM12 7v5l3.5 2',
	cloud: 'M7 18.5a4.5 4.5 0 0 1-.5-8.97A6 6 0 0 1 18 9.5a4.5 4.5 0 0 1-.5 9zM12 11v4M12 11l-2 2M12 11l2 2',
	info: 'M12 20.5a8.5 8.5 0 1 0 0-17 8.5 8.5 0 0 0 0 17zM12 11v5.5M12 7.5h.01',
	warn: 'M12 4l9 16H3zM12 10v4.5M12 17h.01',
	back: 'M14.5 5.5L8 12l6.5 6.5',
	light: 'M13 2.5L5.5 13.5H11L10 21.5l8-11.5h-5.5z',
	picture: 'M5 5h14a1 1 0 0 1 1 1v12a1 1 0 0 1-1 1H5a1 1 0 0 1-1-1V6a1 1 0 0 1 1-1zM4 16l4.5-4.5 4 4 2.5-2.5 5 4.5M15 9h.01',
	keys: 'M4 7h16a1 1 0 0 1 1 1v9a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1V8a1 1 0 0 1 1-1zM7 11h.01M11 11h.01M15 11h.01M8 14.5h8',
	screen: 'M4 5h16a1 1 0 0 1 1 1v9a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1V6a1 1 0 0 1 1-1zM12 16v4M8.5 20h7',
	download: 'M12 4v11M12 15l-4-4M12 15l4-4M5 19.5h14',
	edit: 'M5 19l1-4L16 5l3 3L9 18zM14 7l3 3',
	arrow: 'M20 12H5M11 5.5L4.5 12l6.5 6.5',
	face: 'M12 20.5a8.5 8.5 0 1 0 0-17 8.5 8.5 0 0 0 0 17zM8.5 14c1.6 2.2 5.4 2.2 7 0M9.2 9.7h.01M14.8 9.7h.01',
	phone: 'M8 3h8a1.2 1.2 0 0 1 1.2 1.2v15.6A1.2 1.2 0 0 1 16 21H8a1.2 1.2 0 0 1-1.2-1.2V4.2A1.2 1.2 0 0 1 8 3zM11 17.8h2',
	camera: 'M4.5 7.5H8l1.5-2.5h5L16 7.5h3.5a1 1 0 0 1 1 1v10a1 1 0 0 1-1 1h-15a1 1 0 0 1-1-1v-10a1 1 0 0 1 1-1zM12 16.5a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7z',
	out: 'M10 4.5H5.5a1 1 0 0 0-1 1v13a1 1 0 0 0 1 1H10M15 16l4-4-4-4M19 12H9.5',
};

export function Icon({ name, size = 20 }) {
	return (
		<svg class="icon" viewBox="0 0 24 24" width={size} height={size} fill="none" stroke="currentColor" stroke-width="1.75"
			stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">
			<path d={shapes[name]} />
		</svg>
	);
}

/* The mark of the product. */
export function Logo({ size = 28 }) {
	return (
		<svg class="logo" viewBox="0 0 32 32" width={size} height={size} aria-hidden="true">
			<rect class="logo-tile" width="32" height="32" rx="9" />
			<path d="M9.5 16.6l4.4 4.4 8.6-9.6" fill="none" stroke="currentColor" stroke-width="3.2" stroke-linecap="round" stroke-linejoin="round" />
		</svg>
	);
}
