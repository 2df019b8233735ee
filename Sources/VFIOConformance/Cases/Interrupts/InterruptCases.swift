/// A.7, D.7, D.8, D.9 and D.11: interrupts, reset, features.
let interruptCases: [Case] = [
    setIRQsCases, accessCases, irqInfoCases, lineRequestCases, lineCases, messageCases, vectorCases,
    diskInterruptCases, noticeCases,
    resetCases, featureCases, lowPowerCases,
].flatMap { $0 }
