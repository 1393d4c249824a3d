// What is shipped in deploy/ and at the root for containers, held against the program's own tables, as far as that goes without the
// services themselves: metric names, the parts that compose.yml, nginx.conf and the Dockerfile lean on, and promtool's word where it is installed.
"use strict";

const { execFileSync } = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");

const root = path.resolve(__dirname, "..");
const read = (name) => fs.readFileSync(path.join(root, name), "utf8");
const yaml = require(path.join(root, "web/node_modules/js-yaml")); // @redocly/cli brings it
const problems = [];
const wrong = (text) => problems.push(text);

function metricNames() {
	const names = new Set(["up"]);
	for (const [, name] of read("src/core/metrics.c").matchAll(/"(muster_[a-z_]+)[ "{]/g))
		for (const suffix of ["", "_bucket", "_sum", "_count"])
			names.add(name + suffix);
	return names;
}

// A recorded series has colons; what is behind a backslash or in quotes is no name.
function namesIn(expr) {
	return [...expr.replace(/"[^"]*"/g, "").matchAll(/(?<![A-Za-z0-9_:])(muster[A-Za-z0-9_:]*)/g)].map((m) => m[1]);
}

function checkMetrics() {
	const known = metricNames();
	const rules = read("deploy/prometheus/muster-alerts.yml");
	const recorded = new Set([...rules.matchAll(/- record: (\S+)/g)].map((m) => m[1]));
	const expressions = yaml.load(rules).groups.flatMap((g) => g.rules.map((r) => [r.alert || r.record, r.expr]));
	const dashboard = JSON.parse(read("deploy/grafana/muster.json"));
	const ids = new Set();
	for (const panel of dashboard.panels) {
		if (ids.has(panel.id))
			wrong(`deploy/grafana/muster.json: two panels have the id ${panel.id}`);
		ids.add(panel.id);
		for (const target of panel.targets)
			expressions.push([`panel ${panel.title}`, target.expr]);
	}
	for (const [where, expr] of expressions)
		for (const name of namesIn(expr))
			if (!known.has(name) && !recorded.has(name))
				wrong(`${where}: the program has no metric ${name}`);
	const handbook = read("docs/operations.md");
	for (const name of new Set([...rules.matchAll(/- alert: (\S+)/g)].map((m) => m[1])))
		if (!handbook.includes(`**${name}**`))
			wrong(`docs/operations.md does not say what to do about ${name}`);
}

function checkCompose() {
	const text = read("deploy/compose.yml");
	const { services, volumes, networks } = yaml.load(text);
	const example = new Set([...read("deploy/compose.env.example").matchAll(/^([A-Z_]+)=/gm)].map((m) => m[1]));
	for (const [, name] of text.matchAll(/\$\{([A-Z_]+)/g))
		if (!example.has(name))
			wrong(`deploy/compose.env.example lacks ${name}`);
	for (const [name, s] of Object.entries(services)) {
		if (!s.image)
			wrong(`compose: ${name} names no image`);
		if (!s.healthcheck && !s.build)
			wrong(`compose: ${name} has no health check`);
		for (const other of Object.keys(s.depends_on || {}))
			if (!services[other])
				wrong(`compose: ${name} depends on ${other}, which is not there`);
		for (const volume of s.volumes || []) {
			const from = volume.split(":")[0];
			if (from.startsWith(".") ? from !== "./tls" && !fs.existsSync(path.join(root, "deploy", from)) : !(from in volumes))
				wrong(`compose: ${name} mounts ${from}, which is not there`);
		}
		for (const network of Array.isArray(s.networks) ? s.networks : Object.keys(s.networks))
			if (!(network in networks))
				wrong(`compose: ${name} is in ${network}, which is not there`);
		if (name !== "nginx" && s.ports)
			wrong(`compose: ${name} is reachable past nginx`);
		for (const [key, value] of Object.entries(s.environment || {}))
			if (/SECRET|PASSWORD|PEPPER|KEY/.test(key) && !/^\$\{/.test(value))
				wrong(`compose: ${key} stands there in clear`);
	}
}

// nginx's own word on the file is tests/e2e/nodes.test.js; here its values against the program's.
function checkNginx() {
	const text = read("deploy/nginx.conf");
	const number = (file, pattern) => Number((pattern.exec(read(file)) || [])[1]);
	const value = (pattern) => number("deploy/nginx.conf", pattern);
	const uploads = number("src/tables/config.def", /"UPLOAD_MAX_IMAGE_MB".*?"(\d+)"/s);
	if (!(value(/client_max_body_size (\d+)m;/) > uploads))
		wrong(`nginx.conf: client_max_body_size is not over UPLOAD_MAX_IMAGE_MB, ${uploads}`);
	if (!(value(/\tkeepalive_timeout (\d+)s;/) < number("src/core/limits.h", /IDLE_TIMEOUT_S = (\d+)/)))
		wrong("nginx.conf: keeps connections for longer than the server does");
	if (!/proxy_set_header X-Forwarded-For \$remote_addr;/.test(text) || /\$proxy_add_x_forwarded_for/.test(text))
		wrong("nginx.conf: passes on an X-Forwarded-For that the client wrote");
	const [, pattern, body] = /location ~ (\S+) \{([^}]*)\}/.exec(text) || ["", "^$", ""];
	if (!/proxy_buffering off;/.test(body))
		wrong("nginx.conf: holds event streams back");
	for (const [route, methods] of Object.entries(JSON.parse(read("docs/openapi.json")).paths))
		if (JSON.stringify(methods).includes("text/event-stream") !== new RegExp(pattern).test(route))
			wrong(`nginx.conf: its location for event streams is wrong about ${route}`);
	if (!/sed -e 's\/server 127/.test(read("deploy/compose-nginx.sh")) || !text.includes("server 127.0.0.1:8000 "))
		wrong("deploy/compose-nginx.sh does not find the server in nginx.conf");
}

function checkDockerfile() {
	const text = read("Dockerfile").replace(/\\\n\s*/g, " ");
	const steps = text.split("\n").filter((l) => l && !l.startsWith("#")).map((l) => l.split(/ (.*)/s));
	const last = steps.slice(steps.map((s) => s[0]).lastIndexOf("FROM"));
	for (const [instruction] of steps)
		if (!/^(FROM|RUN|COPY|ENV|WORKDIR|VOLUME|USER|EXPOSE|STOPSIGNAL|HEALTHCHECK|ENTRYPOINT|CMD)$/.test(instruction))
			wrong(`Dockerfile: ${instruction}`);
	for (const wanted of ["USER", "VOLUME", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD"])
		if (!last.some(([i]) => i === wanted))
			wrong(`Dockerfile: the last stage has no ${wanted}`);
	if (last.find(([i]) => i === "USER")?.[1] === "root")
		wrong("Dockerfile: runs as root");
	for (const [instruction, rest] of steps) {
		if (instruction === "COPY" && !rest.startsWith("--from="))
			for (const source of rest.split(" ").slice(0, -1))
				if (!fs.existsSync(path.join(root, source)))
					wrong(`Dockerfile: COPY of ${source}, which is not there`);
		if (instruction === "RUN" && rest.includes("apt-get install") && !/--no-install-recommends.*rm -rf \/var\/lib\/apt\/lists/.test(rest))
			wrong("Dockerfile: apt-get install without --no-install-recommends, or its lists stay");
	}
}

// Where it is installed.
function ask(program, args, where, env = {}) {
	try {
		execFileSync(program, args, { cwd: path.join(root, where), stdio: "pipe", env: { ...process.env, ...env } });
	} catch (error) {
		if (error.code !== "ENOENT")
			wrong(`${program} ${args.join(" ")}: ${error.stdout}${error.stderr}`);
	}
}

checkMetrics();
checkCompose();
checkDockerfile();
checkNginx();
ask("promtool", ["check", "rules", "muster-alerts.yml"], "deploy/prometheus");
ask("promtool", ["test", "rules", "muster-alerts.test.yml"], "deploy/prometheus");
for (const problem of problems)
	console.error(problem);
process.exit(problems.length ? 1 : 0);
