"use strict";
// The page of `facedouble faces review`. All that is known of a face is asked for by its row; the address holds the
// token, so every request is relative to it.

const CELL = { width: 132, height: 154 };
const SPARE_LINES = 2;
const $ = (id) => document.getElementById(id);
const gallery = $("gallery"), paper = $("paper");

let set = {};                    // what the server says of the whole set
const at = new Map();            // row -> place in the set's columns
let order = { rows: [], labels: new Map() };
let doubts = null;               // reason -> Set of rows, once asked for
let columns = {};                // measure -> values, once asked for
let shown = [];                  // rows that pass the filter, in order
let here = 0;                    // place in shown of the face the keys act on
let anchor = 0;                  // where a selection with Shift began
const chosen = new Set();
const recut = new Map();         // row -> how often its picture was made anew
let numbering = 0;               // how often the rows were numbered anew
let cells = new Map();           // row -> element, of those in sight

// --- asking the server ------------------------------------------------------------------------------------------------

async function ask(path, body) {
  const how = body === undefined ? {} :
    { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  let answer;
  try {
    answer = await fetch(path, how);
  } catch {
    throw new Error("facedouble no longer answers. Start it again: what was done is kept.");
  }
  const told = await answer.json().catch(() => ({ error: `the answer was ${answer.status}` }));
  if (!answer.ok) throw new Error(told.error);
  return told;
}

function say(text) {
  $("status").textContent = text;
}

function guarded(work) {
  return async (...given) => {
    try {
      return await work(...given);
    } catch (error) {
      const open = document.querySelector("dialog[open] .trouble");
      if (open) open.textContent = error.message;
      else say(error.message);
    }
  };
}

// Another address for another picture, so that no old one is shown.
function cut(row) {
  return `cut=${numbering}.${recut.get(row) ?? 0}`;
}

function thumb(row) {
  return `thumb/${row}?${cut(row)}`;
}

// --- filter and order ---------------------------------------------------------------------------------------------------

async function readSet() {
  set = await ask("about");
  at.clear();
  set.rows.forEach((row, place) => at.set(row, place));
}

async function setUp() {
  await readSet();
  document.title = `${set.person}, ${set.name} - facedouble`;
  $("title").textContent = `${set.person}: ${set.name} (consent ${set.consent})`;
  fill("show", [["", "in the set"], ["doubtful", "doubtful"], ...set.doubts.map((name) => [name, `doubtful: ${name}`]),
    ["aside", "dropped"], ["all", "all"]]);
  fill("looking", [["", "anywhere"], ...set.orientations.map((name, number) => [number, name])]);
  fill("measure", [["", "any"], ...Object.entries(set.measures).map(([name, text]) => [name, `${name} (${text})`])]);
  fill("order", set.orders.map((name) => [name, name]));
  await arrange();
  gallery.focus();
}

function fill(id, options) {
  $(id).replaceChildren(...options.map(([value, text]) => new Option(text, value)));
}

let asked = 0;
const arrange = guarded(async (like) => {
  const by = $("order").value, turn = ++asked;
  const old = $("order").querySelector("[data-like]");
  const to = like ?? old?.dataset.like;
  const told = await ask(by === "similarity" ? `order?by=similarity&to=${to}` : `order?by=${by}`);
  if (turn !== asked) return;    // a later order was asked for meanwhile
  if (by !== "similarity") old?.remove();
  order = { rows: told.rows, labels: new Map(told.rows.map((row, place) => [row, told.labels[place]])) };
  await sift();
});

const sift = guarded(async () => {
  const show = $("show").value, measure = $("measure").value;
  if (set.doubts.includes(show) || show === "doubtful") {
    if (!doubts) {
      say("looking for doubtful faces");
      doubts = new Map(Object.entries(await ask("doubts")).map(([reason, rows]) => [reason, new Set(rows)]));
      say("");
    }
  }
  if (measure && !columns[measure]) columns[measure] = await ask(`measure/${measure}`);
  const before = shown[here];
  const rows = order.rows.filter(passes);
  if ($("reverse").checked) rows.reverse();
  shown = rows;
  const inSight = new Set(shown);
  for (const row of chosen) if (!inSight.has(row)) chosen.delete(row);
  const same = shown.indexOf(before);
  // Where the face is gone from sight, the next one has come into its place.
  here = Math.max(0, same >= 0 ? same : Math.min(here, shown.length - 1));
  anchor = here;
  draw(true);
});

function passes(row) {
  const place = at.get(row), state = set.states[place], show = $("show").value;
  if (state === null) return false;
  if (show === "aside" ? state === "" : show !== "all" && state !== "") return false;
  if (show === "doubtful" && ![...(doubts ?? new Map()).values()].some((rows) => rows.has(row))) return false;
  if (doubts?.has(show) && !doubts.get(show).has(row)) return false;
  if ($("looking").value !== "" && set.orientation[place] !== Number($("looking").value)) return false;
  if ($("track").value !== "" && set.tracks[place] !== Number($("track").value)) return false;
  const value = columns[$("measure").value]?.[place];
  const [from, to] = [$("from").value, $("to").value];
  if ($("measure").value && (from !== "" || to !== "")) {
    if (value === null || (from !== "" && value < Number(from)) || (to !== "" && value > Number(to))) return false;
  }
  return true;
}

// --- the gallery: only what is in sight is on the page -------------------------------------------------------------------

function across() {
  return Math.max(1, Math.floor((gallery.clientWidth - 16) / CELL.width));
}

function draw(follow) {
  const wide = across();
  paper.style.height = `${Math.ceil(shown.length / wide) * CELL.height}px`;
  if (follow) bringHere(wide);
  const first = Math.max(0, Math.floor(gallery.scrollTop / CELL.height) - SPARE_LINES) * wide;
  const last = (Math.ceil((gallery.scrollTop + gallery.clientHeight) / CELL.height) + SPARE_LINES) * wide;
  const now = new Map();
  for (let place = first; place < Math.min(last, shown.length); place++) {
    const row = shown[place];
    now.set(row, dressed(cells.get(row) ?? newCell(row), row, place, wide));
  }
  for (const [row, cell] of cells) {
    if (!now.has(row)) {
      cell.firstChild.removeAttribute("src");  // a picture that nobody waits for is not fetched
      cell.remove();
    }
  }
  cells = now;
  $("nothing")?.remove();
  if (!shown.length) {
    const nothing = document.createElement("p");
    nothing.id = "nothing";
    nothing.textContent = "No face is like that. Change the filter: / leads there.";
    paper.append(nothing);
  }
  if (shown.length) gallery.setAttribute("aria-activedescendant", `face-${shown[here]}`);
  else gallery.removeAttribute("aria-activedescendant");
  const inSet = set.states.filter((state) => state === "").length;
  $("count").textContent = `${shown.length} shown, ${chosen.size} selected; ${inSet} in the set, ` +
    `${set.states.filter(Boolean).length} aside`;
}

function bringHere(wide) {
  const top = Math.floor(here / wide) * CELL.height;
  if (top < gallery.scrollTop) gallery.scrollTop = top;
  else if (top + CELL.height + 16 > gallery.scrollTop + gallery.clientHeight) {
    gallery.scrollTop = top + CELL.height + 16 - gallery.clientHeight;
  }
}

function newCell(row) {
  const cell = document.createElement("div");
  cell.id = `face-${row}`;
  cell.className = "face";
  cell.setAttribute("role", "option");
  cell.dataset.row = row;
  const picture = document.createElement("img");
  picture.alt = "";
  cell.append(picture, document.createElement("span"));
  paper.append(cell);
  return cell;
}

function dressed(cell, row, place, wide) {
  const state = set.states[at.get(row)], label = order.labels.get(row);
  cell.style.left = `${(place % wide) * CELL.width}px`;
  cell.style.top = `${Math.floor(place / wide) * CELL.height}px`;
  cell.classList.toggle("here", place === here);
  cell.classList.toggle("gone", state !== "");
  cell.setAttribute("aria-selected", chosen.has(row));
  cell.setAttribute("aria-posinset", place + 1);
  cell.setAttribute("aria-setsize", shown.length);
  const why = $("show").value === "doubtful" ? [...(doubts ?? [])].filter(([, rows]) => rows.has(row)).map(([why]) => why) : [];
  const told = [label, state, ...why].filter(Boolean);
  const caption = [`frame ${set.frames[at.get(row)]}`, ...told].join(" · ");
  cell.lastChild.textContent = told.length ? told.join(" · ") : caption;
  cell.title = caption;
  cell.setAttribute("aria-label", caption);
  if (cell.firstChild.getAttribute("src") !== thumb(row)) cell.firstChild.src = thumb(row);
  return cell;
}

// --- moving and selecting ------------------------------------------------------------------------------------------------

function go(place, selecting) {
  if (!shown.length) return;
  place = Math.min(Math.max(place, 0), shown.length - 1);
  if (selecting) choose(Math.min(anchor, place), Math.max(anchor, place));
  else anchor = place;
  here = place;
  draw(true);
}

function choose(first, last) {
  for (let place = first; place <= last; place++) chosen.add(shown[place]);
}

function toggle(row) {
  if (!chosen.delete(row)) chosen.add(row);
}

function targets() {
  return chosen.size ? [...chosen] : shown.length ? [shown[here]] : [];
}

gallery.addEventListener("click", (event) => {
  const cell = event.target.closest(".face");
  if (!cell) return;
  const place = shown.indexOf(Number(cell.dataset.row));
  if (event.shiftKey) choose(Math.min(anchor, place), Math.max(anchor, place));
  else {
    toggle(shown[place]);
    anchor = place;
  }
  here = place;
  draw(false);
});
gallery.addEventListener("dblclick", (event) => event.target.closest(".face") && frame.open());
let drawing = false;
gallery.addEventListener("scroll", () => {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    draw(false);
  });
});
new ResizeObserver(() => set.states && draw(false)).observe(gallery);

// --- changing ------------------------------------------------------------------------------------------------------------

let busy = false;
async function change(path, body) {
  if (busy) return;              // a key held down does not pile up
  busy = true;
  try {
    const told = await ask(path, body);
    if (told.anew) {
      numbering++;
      chosen.clear();
      shown = [];                // what is here now is the next in its place
      columns = {};
      await readSet();
    } else told.rows.forEach((row, place) => {
      set.states[at.get(row)] = told.states[place];
      if (told.recut) recut.set(row, (recut.get(row) ?? 0) + 1);
      chosen.delete(row);
    });
    if (told.recut) columns = {};
    if (told.recut || path !== "drop") doubts = null;  // what came back may be doubtful
    await (told.anew ? arrange() : sift());
    say(path === "undo" ? told.text : `${told.text}; U undoes it`);
  } finally {
    busy = false;
  }
}

const drop = guarded((reason) => targets().length && change("drop", { rows: targets(), reason }));
const restore = guarded(() => targets().length && change("restore", { rows: targets() }));
const undo = guarded(() => change("undo", {}));

// --- drawing over pictures ------------------------------------------------------------------------------------------------

function closed(points, kind) {
  const line = document.createElementNS("http://www.w3.org/2000/svg", "polygon");
  line.setAttribute("points", points.map((point) => point.join(",")).join(" "));
  line.setAttribute("class", kind);
  return line;
}

function frameSvg(svg, width, height, lines) {
  svg.setAttribute("viewBox", `-0.5 -0.5 ${width} ${height}`);  // (0, 0) is the centre of the first pixel
  svg.setAttribute("preserveAspectRatio", "none");
  svg.replaceChildren(...lines);
}

// Shows the last picture asked for; those asked for while one is fetched are passed over but for the last.
function latest(picture, failed) {
  let wanted = null, fetching = false;
  const next = async () => {
    if (fetching || wanted === null) return;
    const address = wanted;
    wanted = null;
    fetching = true;
    picture.src = address;
    try {
      await picture.decode();
      failed("");
    } catch {
      if (wanted === null) failed(await ask(address).then(() => "", (error) => error.message));
    }
    fetching = false;
    next();
  };
  return (address) => {
    wanted = address;
    return next();
  };
}

// --- a face in its frame --------------------------------------------------------------------------------------------------

const frame = {
  dialog: $("frame"), row: 0, step: 0,
  trouble: (text) => { frame.dialog.querySelector(".trouble").textContent = text; },
  open() {
    if (!shown.length) return;
    frame.row = shown[here];
    frame.trouble("");
    $("frame-picture").removeAttribute("src");
    $("frame-drawing").replaceChildren();
    $("frame-title").textContent = "Reading the clip";
    frame.dialog.showModal();
    return frame.to(0);
  },
  to: guarded(async (step) => {
    const seen = await ask(`seen/${frame.row}/${step}`);
    frame.step = step;
    frame.trouble("");
    const from = step ? `, ${step > 0 ? "+" : ""}${step} from the face's own` : ", the face's own";
    $("frame-title").textContent = `Frame ${seen.index} of ${seen.count}, ${seen.seconds.toFixed(2)} s${from}`;
    $("frame-picture").style.width = `min(90vw, ${(70 * seen.size[0]) / seen.size[1]}vh)`;
    frame.show(`frame/${frame.row}/${step}`);
    frameSvg($("frame-drawing"), ...seen.size, seen.faces.flatMap((face) => {
      const aside = face.state === "" ? "" : " aside";
      return [closed(face.square, `square${aside}`), closed(face.crop, `crop${aside}`),
        ...face.lines.map((line) => closed(line, `landmarks${aside}`))];
    }));
  }),
  keys(event) {
    const by = event.shiftKey ? 10 : 1;
    if (event.key === "ArrowRight") frame.to(frame.step + by);
    else if (event.key === "ArrowLeft") frame.to(frame.step - by);
    else if (event.key === "Home") frame.to(0);
    else if (event.key.toLowerCase() === "l") $("frame-drawing").classList.toggle("plain");
    else if (event.key === "Enter" || event.key.toLowerCase() === "f") frame.dialog.close();
    else return false;
    return true;
  },
};
frame.show = latest($("frame-picture"), frame.trouble);

// --- a face's alignment ----------------------------------------------------------------------------------------------------

const nudge = {
  dialog: $("nudge"), row: 0, by: {},
  trouble: (text) => { nudge.dialog.querySelector(".trouble").textContent = text; },
  open: guarded(async () => {
    if (!shown.length) return;
    nudge.row = shown[here];
    if (set.states[at.get(nudge.row)] !== "") throw new Error("That face is aside: restore it first (R).");
    nudge.trouble("");
    nudge.dialog.showModal();
    $("nudge-title").textContent = `Alignment of the face of frame ${set.frames[at.get(nudge.row)]}`;
    $("nudge-before").src = `picture/${nudge.row}?${cut(nudge.row)}`;
    nudge.reset();
    const lines = await ask(`outlines/${nudge.row}`);
    for (const svg of nudge.dialog.querySelectorAll("svg")) {
      frameSvg(svg, set.size_px, set.size_px, lines.map((line) => closed(line, "landmarks")));
    }
  }),
  reset() {
    nudge.by = { x: 0, y: 0, turn: 0, scale: 1 };
    nudge.preview();
  },
  preview() {
    const { x, y, turn, scale } = nudge.by;
    $("nudge-figures").textContent = `as it will be: ${x} px across, ${y} px down, ${turn.toFixed(1)}° clockwise, ` +
      `${(100 * scale).toFixed(1)}%`;
    nudge.show(`preview/${nudge.row}?${new URLSearchParams(nudge.by)}&${cut(nudge.row)}`);
  },
  keep: guarded(async () => {
    await change("nudge", { rows: [nudge.row], ...nudge.by });
    nudge.dialog.close();
  }),
  keys(event) {
    const { by } = nudge, px = event.shiftKey ? 10 : 1;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const moves = {
      ArrowLeft: () => { by.x -= px; }, ArrowRight: () => { by.x += px; },
      ArrowUp: () => { by.y -= px; }, ArrowDown: () => { by.y += px; },
      q: () => { by.turn -= px / 2; }, e: () => { by.turn += px / 2; },
      "+": () => { by.scale *= 1.01; }, "=": () => { by.scale *= 1.01; }, "-": () => { by.scale /= 1.01; },
      0: () => { nudge.by = { x: 0, y: 0, turn: 0, scale: 1 }; },
    };
    if (key in moves) {
      moves[key]();
      nudge.preview();
    } else if (key === "l") for (const svg of nudge.dialog.querySelectorAll("svg")) svg.classList.toggle("plain");
    else if (key === "Enter") nudge.keep();
    else return false;
    return true;
  },
};
nudge.show = latest($("nudge-after"), nudge.trouble);

// --- a face that is another person's ---------------------------------------------------------------------------------------

const give = {
  dialog: $("give"),
  open: guarded(() => {
    if (!targets().length) return;
    if (!set.others.length) {
      throw new Error("Name the other person's set when you start the review, and faces can be moved there.");
    }
    give.dialog.querySelector(".trouble").textContent = "";
    $("give-sets").replaceChildren(...set.others.map((name) => {
      const item = document.createElement("li");
      item.textContent = name;
      return item;
    }));
    give.dialog.showModal();
  }),
  to: guarded(async (number) => {
    await change("give", { rows: targets(), to: number });
    give.dialog.close();
  }),
  keys(event) {
    const number = Number(event.key) - 1;
    if (!(number in set.others)) return false;
    give.to(number);
    return true;
  },
};

// --- keys ------------------------------------------------------------------------------------------------------------------

function galleryKeys(event) {
  const wide = across(), page = wide * Math.max(1, Math.floor(gallery.clientHeight / CELL.height));
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -wide, ArrowDown: wide, PageUp: -page, PageDown: page,
    Home: -shown.length, End: shown.length };
  if (event.key in steps) {
    go(here + steps[event.key], event.shiftKey);
    return true;
  }
  const work = {
    " ": () => { if (shown.length) { toggle(shown[here]); anchor = here; draw(true); } },
    a: () => { choose(0, shown.length - 1); draw(false); },
    t: () => {
      const track = set.tracks[at.get(shown[here])];
      for (const row of shown) if (set.tracks[at.get(row)] === track) chosen.add(row);
      draw(false);
    },
    Escape: () => { chosen.clear(); draw(false); },
    d: () => drop("review"), Delete: () => drop("review"), x: () => drop("not-this-person"),
    m: give.open, r: restore, u: undo, n: nudge.open, f: frame.open, Enter: frame.open,
    s: () => {
      if (!shown.length) return;
      $("order").querySelector("[data-like]")?.remove();
      const like = new Option(`like frame ${set.frames[at.get(shown[here])]}`, "similarity", false, true);
      like.dataset.like = shown[here];
      $("order").append(like);
      return arrange(shown[here]);
    },
  }[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  work?.();
  return Boolean(work);
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const dialog = document.querySelector("dialog[open]");
  let done = false;
  if (dialog) done = { frame, give, nudge }[dialog.id]?.keys(event) ?? false;
  else if (event.target.closest?.("#filter")) {
    done = event.key === "Escape";
    if (done) gallery.focus();
  } else if (event.key === "?") {
    $("keys").showModal();
    done = true;
  } else if (event.key === "/") {
    $("show").focus();
    done = true;
  } else done = set.states ? galleryKeys(event) : false;
  if (done) event.preventDefault();
});
for (const dialog of document.querySelectorAll("dialog")) dialog.addEventListener("close", () => gallery.focus());
$("filter").addEventListener("submit", (event) => event.preventDefault());
$("filter").addEventListener("input", (event) => {
  if (event.target.id === "show") doubts = null;  // whose duplicates are left depends on who was dropped
  return event.target.id === "order" ? arrange() : sift();
});
$("keys-button").addEventListener("click", () => $("keys").showModal());
guarded(setUp)();
