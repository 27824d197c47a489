"use strict";
(() => {
  // Tables of levels: search, sort, and no more rows on the page than a reader can use.
  // Hidden rows come as data; their text is set as text, never as markup.
  const number = (text) => {
    const value = parseFloat(text.replace(/,/g, "").replace(/−/g, "-").replace("+", ""));
    return Number.isNaN(value) ? -Infinity : value;
  };
  const plain = (text) => text.trim().toLowerCase();

  const element = (cells, heads, verdict) => {
    const tr = document.createElement("tr");
    cells.forEach((text, i) => {
      const cell = document.createElement(i ? "td" : "th");
      const holder = i ? cell : cell.appendChild(document.createElement("bdi"));
      holder.textContent = text;
      if (!i) cell.scope = "row";
      if (heads[i].classList.contains("n")) cell.className = "n";
      tr.append(cell);
    });
    tr.className = cells[verdict];
    return tr;
  };

  const grid = (root) => {
    const limit = Number(root.dataset.limit);
    const heads = [...root.querySelectorAll("thead th")];
    const body = root.querySelector("tbody");
    const count = root.querySelector(".count");
    const caption = count.textContent;
    const first = [...body.rows].map((tr) => ({ tr, cells: [...tr.cells].map((c) => c.textContent) }));
    let all = null;
    const everything = () => {
      if (all) return all;
      const data = root.querySelector('script[type="application/json"]');
      all = first.concat(data ? JSON.parse(data.textContent).map((cells) => ({ tr: null, cells })) : []);
      return all;
    };
    let column = -1, down = true, wanted = "";

    const compare = (a, b) => {
      const sign = down ? -1 : 1;
      if (!heads[column].classList.contains("n")) {
        return -sign * b.cells[column].localeCompare(a.cells[column], undefined, { numeric: true });
      }
      const x = number(a.cells[column]), y = number(b.cells[column]);
      if (x === y) return 0;
      if (x === -Infinity || y === -Infinity) return x === -Infinity ? 1 : -1;  // gaps stay at the end
      return sign * (x - y);
    };
    const show = () => {
      const untouched = column < 0 && !wanted;
      let rows = untouched ? first : everything();
      if (wanted) rows = rows.filter((r) => plain(r.cells[0]).includes(wanted));
      if (column >= 0) rows = [...rows].sort(compare);
      const shown = rows.slice(0, limit);
      for (const r of shown) r.tr ??= element(r.cells, heads, Number(root.dataset.verdict));
      body.replaceChildren(...shown.map((r) => r.tr));
      count.textContent = untouched ? caption
        : `${rows.length.toLocaleString("en")} found` + (rows.length > limit ? `, the first ${limit} shown` : "");
    };
    heads.forEach((head, i) => head.querySelector("button").addEventListener("click", () => {
      down = column === i ? !down : head.classList.contains("n");
      column = i;
      heads.forEach((h) => h.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      show();
    }));
    const marks = [...(root.parentElement?.querySelectorAll("figure [data-level]") ?? [])];
    root.querySelector(".search").addEventListener("input", (event) => {
      wanted = plain(event.target.value);
      marks.forEach((m) => m.classList.toggle("dim", wanted !== "" && !m.dataset.level.includes(wanted)));
      show();
    });
  };
  document.querySelectorAll("div.grid").forEach(grid);

  // Tooltips of drawings, for mouse and finger.
  const tip = document.getElementById("tip");
  const place = (event) => {
    const mark = event.target.closest?.("[data-tip]");
    tip.hidden = !mark;
    if (!mark) return;
    tip.textContent = mark.dataset.tip;
    const gap = 14, width = tip.offsetWidth, height = tip.offsetHeight;
    const room = document.documentElement.clientWidth;
    const left = Math.max(6, Math.min(event.clientX + gap, room - width - 6));
    const above = event.clientY + gap + height > window.innerHeight;
    tip.style.left = `${left + window.scrollX}px`;
    tip.style.top = `${event.clientY + window.scrollY + (above ? -height - gap : gap)}px`;
  };
  document.addEventListener("pointermove", place);
  document.addEventListener("pointerdown", place);
  document.addEventListener("pointerleave", () => { tip.hidden = true; });

  // On paper everything is open.
  window.addEventListener("beforeprint", () => {
    document.querySelectorAll("details:not([open])").forEach((d) => { d.open = true; d.dataset.opened = "1"; });
  });
  window.addEventListener("afterprint", () => {
    document.querySelectorAll("details[data-opened]").forEach((d) => { d.open = false; delete d.dataset.opened; });
  });
})();
