/// How pages look: with the reader's own fonts, light or dark, from 400 pixels on.
enum PageStyle {
    static let text = """
        :root { --paper: #ffffff; --ink: #1c2430; --soft: #55606e; --rule: #dce1e7; --panel: #f5f7f9;
          --bar: #3b78b4; --q0: #1d6b3a; --q1: #7a5a00; --q2: #a8480f; --q3: #b3261e; --q4: #7b2d8b; }
        @media (prefers-color-scheme: dark) {
          :root { --paper: #14181d; --ink: #e4e8ed; --soft: #9aa5b1; --rule: #333c46; --panel: #1c2229;
            --bar: #5b9bd8; --q0: #6fcf8f; --q1: #e0b84a; --q2: #f09a5c; --q3: #ff8a80; --q4: #d79be6; }
        }
        @media print {
          :root { --paper: #ffffff; --ink: #000000; --soft: #444444; --rule: #bbbbbb; --panel: #ffffff;
            --bar: #3b78b4; --q0: #1d6b3a; --q1: #7a5a00; --q2: #a8480f; --q3: #b3261e; --q4: #7b2d8b; }
          * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
          figure, tr, .facts div, .overview { break-inside: avoid; }
          h2 { break-after: avoid; }
          .hint { display: none; }
        }
        * { box-sizing: border-box; }
        body { margin: 0 auto; max-width: 84rem; padding: 1.5rem clamp(0.8rem, 3vw, 2.5rem) 3rem;
          background: var(--paper); color: var(--ink);
          font: 1rem/1.5 system-ui, "Helvetica Neue", Arial, "DejaVu Sans", sans-serif; }
        h1 { font-size: clamp(1.35rem, 4vw, 1.9rem); line-height: 1.25; margin: 0 0 0.4rem; overflow-wrap: anywhere; }
        h2 { font-size: 1.2rem; margin: 2.2rem 0 0.6rem; }
        h3 { font-size: 1rem; margin: 0; }
        .summary { margin: 0; font-size: 1.05rem; max-width: 60rem; }
        .hint, figcaption p { margin: 0.1rem 0 0.6rem; color: var(--soft); font-size: 0.88rem; max-width: 60rem; }
        .scroll { overflow-x: auto; }
        table { border-collapse: collapse; width: 100%; font-size: 0.92rem; }
        th, td { padding: 0.35rem 0.6rem; text-align: left; vertical-align: top;
          border-bottom: 1px solid var(--rule); font-variant-numeric: tabular-nums; }
        th { font-weight: 600; }
        thead th { color: var(--soft); font-weight: 500; white-space: nowrap; }
        td { white-space: nowrap; }
        .number { text-align: right; }
        th:first-child, td:first-child { padding-left: 0; } th:last-child, td:last-child { padding-right: 0; }
        .figures { display: grid; gap: 1.2rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 34rem), 1fr)); }
        figure { margin: 0; padding: 0.9rem 1rem; background: var(--panel); border: 1px solid var(--rule);
          border-radius: 0.5rem; min-width: 0; }
        .chart { margin-top: 0.5rem; }
        .tag { position: relative; height: 1.3rem; font-size: 0.8rem; line-height: 1.3rem;
          font-variant-numeric: tabular-nums; }
        .tag span { position: absolute; white-space: nowrap; }
        .tag .right { padding-left: 0.35rem; border-left: 2px solid; }
        .tag .left { padding-right: 0.35rem; border-right: 2px solid; }
        .tag b { font-weight: 600; }
        span.q0 { color: var(--q0); } span.q1 { color: var(--q1); } span.q2 { color: var(--q2); }
        span.q3 { color: var(--q3); } span.q4 { color: var(--q4); }
        svg { display: block; width: 100%; height: clamp(8rem, 18vw, 12rem); overflow: visible;
          border-bottom: 1px solid var(--soft); }
        .bar { fill: var(--bar); } .hit { fill: transparent; } g:hover .hit { fill: var(--rule); }
        line { vector-effect: non-scaling-stroke; } .grid { stroke: var(--rule); stroke-width: 1; }
        .mark { stroke-width: 1.5; stroke-dasharray: 4 3; pointer-events: none; }
        .mark.q0 { stroke: var(--q0); } .mark.q1 { stroke: var(--q1); } .mark.q2 { stroke: var(--q2); }
        .mark.q3 { stroke: var(--q3); } .mark.q4 { stroke: var(--q4); }
        .axis { position: relative; height: 1.4rem; font-size: 0.78rem; color: var(--soft); }
        .axis span { position: absolute; transform: translateX(-50%); white-space: nowrap; padding-top: 0.15rem; }
        details { margin-top: 0.4rem; font-size: 0.88rem; } summary { cursor: pointer; color: var(--soft); }
        .row { display: grid; grid-template-columns: minmax(8rem, 20rem) 1fr; gap: 0.2rem 1.2rem;
          align-items: center; padding: 0.15rem 0; font-size: 0.92rem; }
        .row > div { position: relative; min-width: 0; }
        .track { height: 1.1rem; background: linear-gradient(var(--rule), var(--rule)) center / 100% 1px no-repeat; }
        .track i { position: absolute; }
        .thin { top: 0.5rem; height: 2px; background: var(--bar); min-width: 2px; }
        .thick { top: 0.35rem; height: 0.4rem; border-radius: 0.2rem; background: var(--bar); min-width: 3px; }
        .dot { top: 0.2rem; width: 0.7rem; height: 0.7rem; margin-left: -0.35rem; border-radius: 50%;
          background: var(--paper); border: 3px solid var(--bar); }
        .reference { top: 0; width: 3px; margin-left: -1.5px; height: 1.1rem; background: var(--q2); }
        .facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); gap: 0.5rem 2rem;
          margin: 0; }
        .facts dt { color: var(--soft); font-size: 0.82rem; } .facts dd { margin: 0; overflow-wrap: anywhere; }
        li { max-width: 60rem; }
        @media (max-width: 36rem) {
          .minor { display: none; }
          .row { grid-template-columns: 1fr; gap: 0; padding: 0.3rem 0; }
        }
        """
}
