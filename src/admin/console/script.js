"use strict";
// Everything is shown as text (textContent): nothing that the router says is ever read as HTML.
const WINDOW = 500;
const $ = (id) => document.getElementById(id);
// Never stored: another program could answer at this address tomorrow.
let token = "";
let here = null;
// By decision and number: what regions answered, as far as it was read.
const answers = new Map();
let page = { after: 0, end: 0, entries: [] };

function el(tag, text, kind) {
  const made = document.createElement(tag);
  if (kind) made.className = kind;
  if (text instanceof Node) made.append(text);
  else if (text !== null && text !== undefined) made.textContent = String(text);
  return made;
}
function fill(parent, ...children) { parent.replaceChildren(...children); }
function row(head, ...cells) {
  const made = el("tr");
  const first = el("th", head);
  first.scope = "row";
  made.append(first, ...cells);
  return made;
}
function empty(rows, columns, text) {
  const cell = el("td", text, "soft");
  cell.colSpan = columns;
  const made = el("tr");
  made.append(cell);
  fill(rows, made);
}

class Refused extends Error {}

async function ask(path, body) {
  const headers = token ? { authorization: "Bearer " + token } : {};
  const options = { headers, cache: "no-store", redirect: "error" };
  if (body !== undefined) {
    options.method = "POST";
    options.body = body;
    headers["content-type"] = "application/json";
  }
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Refused("the router does not answer");
  }
  const text = await answer.text();
  let told = text;
  try { told = JSON.parse(text); } catch { /* metrics are no JSON */ }
  if (answer.status === 401) {
    $("token-form").hidden = false;
    $("token").focus();
    throw new Refused(token ? "this is not the token" : "");
  }
  return { status: answer.status, ok: answer.ok, told };
}
async function read(path) {
  const { ok, status, told } = await ask(path);
  if (!ok) throw new Refused(`${path}: ${status} ${told.title || ""} ${told.detail || ""}`);
  return told;
}
function fault(error) {
  if (!(error instanceof Refused)) console.error(error);
  $("fault").textContent = error instanceof Refused ? error.message : "this page has failed: " + error;
  $("fault").hidden = !$("fault").textContent;
}

const isWell = (value) => ["ok", "up", "passing"].includes(value);
function state(value) { return el("span", value, isWell(value) ? "good" : "bad"); }

async function status() {
  // /readyz answers 503 where it is not ready, and says why.
  const ready = (await ask("/readyz")).told;
  const word = ready.draining ? "stopping" : ready.ready ? "ready" : "not ready";
  fill($("state"), el("span", word, ready.ready ? "good" : "bad"));
  const facts = [["State", el("span", word, ready.ready ? "good" : "bad")]];
  for (const part of ["ledger", "directory", "counters", "consents", "erasures", "reload"])
    facts.push([part[0].toUpperCase() + part.slice(1), state(ready[part])]);
  for (const it of ready.faults) {
    const place = [it.file, it.line, it.column].filter(Boolean).join(":");
    facts.push(["Fault", el("span", `${place} ${it.message}${it.hint ? ` (${it.hint})` : ""}`, "bad")]);
  }
  for (const name of ready.files_behind) facts.push(["Older file in use", el("span", name, "warn")]);
  facts.push(["Policy", el("span", ready.policy, "mono")], ["Settings", el("span", ready.settings, "mono")]);
  const show = () => fill($("facts"), ...facts.flatMap(([name, what]) => [el("dt", name), el("dd", what)]));
  show();
  const version = await read("/version");
  here = version.location;
  const observes = version.mode === "observe";
  const mode = observes ? `observe: everything goes to ${version.observe_to}, nothing is refused` : version.mode;
  const { erasures } = await read("/v1/erasures");
  facts.push(["Open erasures", el("span", erasures.length, erasures.length ? "warn" : "")]);
  facts.unshift(["Version", version.version], ["Mode", el("span", mode, observes ? "warn" : "")],
    ["Location", `${version.location.country}, ${version.location.entity}`]);
  show();
  $("state").append(el("span", ` · version ${version.version} · ${version.location.country} · ${version.mode}`, "soft"));
}

// A question to begin with: what this location may read from the first region elsewhere.
function sample(regions) {
  const other = regions.find((r) => r.country !== here.country) || here;
  const question = {
    at: new Date().toISOString().slice(0, 19) + "Z", operation: "read", subject: { countries: [other.country] },
    categories: ["user.contact.email"], from: { country: other.country, entity: other.entity }, to: here,
    purpose: "service" };
  $("question").value = JSON.stringify(question, null, 2);
}

async function regions() {
  const { regions } = await read("/v1/regions");
  if (!$("question").value && here) sample(regions);
  fill($("region-rows"), ...regions.map((r) => {
    const servers = el("td");
    for (const server of r.health) {
      const checks = server.checks ? `, checks ${server.checks}` : "";
      const failures = server.failures_in_a_row ? `, ${server.failures_in_a_row} failures in a row` : "";
      servers.append(el("div", `${server.endpoint} ${server.state}${checks}${failures}`,
        isWell(server.state) ? "" : "warn"));
    }
    return row(r.name, el("td", r.country), el("td", r.entity), el("td", state(r.up ? "up" : "failing")), servers);
  }));
}

function days(date) {
  if (!date) return el("td", "–", "number soft");
  const today = Date.parse(new Date().toISOString().slice(0, 10));
  const left = Math.round((Date.parse(date) - today) / 86400000);
  const kind = left < 0 ? "bad" : left < 60 ? "warn" : "";
  return el("td", left < 0 ? `ended ${-left} days ago` : left, "number " + kind);
}

async function instruments() {
  const { instruments } = await read("/v1/instruments");
  if (!instruments.length) return empty($("instrument-rows"), 7, "none");
  const end = (i) => i.until || "9999";
  instruments.sort((a, b) => end(a).localeCompare(end(b)));
  fill($("instrument-rows"), ...instruments.map((i) => {
    const name = el("span", i.id);
    if (/^https?:\/\//.test(i.copy || "")) {
      const link = el("a", "copy");
      link.href = i.copy;
      link.rel = "noreferrer noopener";
      name.append(" ", link);
    }
    const module = i.module ? `, module ${i.module}` : "";
    return row(name, el("td", i.mechanism + module),
      el("td", `${(i.exporter || []).join(", ")} → ${(i.importer || []).join(", ")}`),
      el("td", `${i.from || "…"} to ${i.until || "…"}`, "time"), days(i.until),
      el("td", i.assessment || "–"), days(i.review_by));
  }));
}

const end = (it) => (it ? `${it.country}${it.entity ? " " + it.entity : ""}` : "");
const KINDS = { permit: "good", refuse: "bad", observe: "warn" };

function decisionRow(first, all) {
  const made = el("tr");
  const time = el("th", first.at.slice(0, 19).replace("T", " "), "time");
  time.scope = "row";
  const ground = first.mechanism
    ? [first.mechanism, first.module && `module ${first.module}`, first.instrument].filter(Boolean).join(", ")
    : [first.problem, (first.rules || []).join(", ")].filter(Boolean).join(": ");
  const answered = all.filter((e) => e.kind === "outcome").map((e) => e.status || "no answer");
  const more = el("button");
  more.type = "button";
  const tell = (opens) => {
    more.textContent = opens ? "Hide" : "Show";
    more.setAttribute("aria-expanded", String(opens));
    more.setAttribute("aria-label", `${more.textContent} entries of ${first.decision || first.kind}`);
  };
  tell(false);
  const below = el("tr");
  const whole = el("td", el("pre", JSON.stringify(all, null, 1)));
  whole.colSpan = 8;
  below.append(whole);
  more.addEventListener("click", () => {
    const opens = more.getAttribute("aria-expanded") === "false";
    tell(opens);
    if (opens) made.after(below); else below.remove();
  });
  made.append(time, el("td", first.outcome || first.kind, KINDS[first.outcome]),
    el("td", [first.operation, first.route].filter(Boolean).join(" ")),
    el("td", (first.laws || []).join(" ")),
    el("td", first.from ? `${end(first.from)} → ${end(first.to)}` : ""),
    el("td", ground), el("td", answered.join(", ")), el("td", more));
  return made;
}

const isWanted = (e) => e.kind !== "outcome" && (!$("outcome").value || e.outcome === $("outcome").value);

function showEntries(entries, told) {
  for (const e of entries)
    if (e.kind === "outcome") answers.set(e.decision, new Map(answers.get(e.decision)).set(e.seq, e));
  const wanted = entries.filter(isWanted).reverse();
  $("span").textContent = `${told}; ${wanted.length} shown`;
  if (!wanted.length) return empty($("decision-rows"), 8, "no such decision among these");
  fill($("decision-rows"), ...wanted.map((e) => decisionRow(e, [e, ...(answers.get(e.decision) || new Map()).values()])));
}

// The API reads on from a number; the metrics say how many entries there are.
async function newest() {
  const metrics = String(await read("/metrics"));
  const found = /^domicile_ledger_entries ([0-9.e+]+)$/m.exec(metrics);
  page.end = found ? Number(found[1]) : 0;
  await turn(page.end - WINDOW, -WINDOW);
}
// From one window to the next, until one has a decision that is asked for: after a large batch there
// are outcomes alone.
async function turn(after, step) {
  let entries = [];
  for (let tries = 0; tries < 20; tries++) {
    after = Math.max(0, after);
    ({ entries } = await read(`/v1/ledger?after=${after}&limit=${WINDOW}`));
    page = { after, entries, end: Math.max(page.end, entries.length ? entries.at(-1).seq : 0) };
    if (entries.some(isWanted) || (step < 0 ? after === 0 : after + WINDOW >= page.end)) break;
    showEntries(entries, "");
    after += step;
  }
  const told = entries.length
    ? `entries ${entries[0].seq} to ${entries.at(-1).seq} of ${page.end}, the newest first`
    : "the ledger has no entries yet";
  showEntries(entries, told);
  $("older").disabled = page.after === 0;
  $("newer").disabled = $("newest").disabled = page.after + WINDOW >= page.end;
}
async function lookUp() {
  const id = $("decision").value.trim();
  if (!id) return newest();
  const { ok, told } = await ask("/v1/ledger?decision=" + encodeURIComponent(id));
  if (!ok) throw new Refused(told.detail || told.title);
  $("outcome").value = "";
  showEntries(told.entries, told.entries.length ? `decision ${id}` : "the ledger has no decision of this id");
}

async function dryRun(path, text, into, headline) {
  const { ok, told } = await ask(path, text);
  const parts = ok ? headline(told) : [el("p", `${told.title}: ${told.detail}`, "bad")];
  fill(into, ...parts, el("pre", JSON.stringify(told, null, 2)));
}
function missing(all) {
  if (!all.length) return [];
  const list = el("ul");
  list.append(...all.map((m) => el("li", `${m.law} ${m.mechanism}: ${m.needs.join(" and ")}`)));
  return [el("p", "For each law named, one of these would permit it:"), list];
}
function explained(told) {
  const by = [told.mechanism, told.module && `module ${told.module}`, told.instrument].filter(Boolean).join(", ");
  const rule = [told.rule, told.citation].filter(Boolean).join(", ");
  return [el("p", `${told.outcome}${by ? " by " + by : ""}${rule ? ` (${rule})` : ""}`, KINDS[told.outcome]),
    ...missing(told.missing)];
}
function classified(told) {
  const countries = (told.countries || []).join(", ") || "no country";
  const strange = told.unknown_fields ? `; ${told.unknown_fields} fields that no schema knows` : "";
  return [el("p", `${countries}${told.strongest ? ` (${told.strongest})` : ""}: ${told.categories.join(", ")}${strange}`,
    told.countries ? "good" : "warn")];
}

// One failure hides no other part.
async function refresh() {
  $("fault").hidden = true;
  for (const part of [status, regions, instruments, newest]) {
    try { await part(); } catch (error) {
      fault(error);
      if (!$("token-form").hidden) return;
    }
  }
}
function on(id, event, work) {
  $(id).addEventListener(event, async (happened) => {
    happened.preventDefault();
    $("fault").hidden = true;
    try { await work(); } catch (error) { fault(error); }
  });
}
on("refresh", "click", refresh);
on("token-form", "submit", async () => {
  token = $("token").value.trim();
  $("token").value = "";
  $("token-form").hidden = true;
  await refresh();
});
on("outcome", "change", () => turn(page.after, -WINDOW));
on("lookup", "submit", lookUp);
on("older", "click", () => turn(page.after - WINDOW, -WINDOW));
on("newer", "click", () => turn(page.after + WINDOW, WINDOW));
on("newest", "click", newest);
on("explain", "submit", () => dryRun("/v1/decisions:explain", $("question").value, $("explained"), explained));
on("classify", "submit", () => {
  const route = $("route").value.trim();
  const query = route ? "?route=" + encodeURIComponent(route) : "";
  return dryRun("/v1/records:classify" + query, $("record").value, $("classified"), classified);
});
$("record").value = JSON.stringify({ id: "u-1", name: "Anna Muster", country: "DE" }, null, 2);
refresh();
