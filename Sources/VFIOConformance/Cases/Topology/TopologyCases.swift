/// A.1, A.8, D.9 and D.13: device sets, hot reset, virtual functions and their tokens.
let topologyCases: [Case] = []
