/// A.7, D.7, D.8, D.9 and D.11: interrupts, reset, features.
let interruptCases: [Case] = []
