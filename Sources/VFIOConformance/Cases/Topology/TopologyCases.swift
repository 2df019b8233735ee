/// A.8, D.9, D.11 and D.13: virtual functions and their tokens, resets of a bus.
let topologyCases: [Case] = tokenCases + virtualFunctionCases + hotResetCases
