/// A.8, D.11 and D.13: virtual functions and their tokens.
let topologyCases: [Case] = tokenCases + virtualFunctionCases
