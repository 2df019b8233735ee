/// D.2 to D.6 and D.10: regions, configuration space, ioeventfds.
let regionCases: [Case] = [
    regionInfoCases, regionAccessCases, regionMapCases, headerCases, capabilityCases, eventWriteCases,
    eventWriteEffectCases, portCases, expansionROMCases, displayCases,
].flatMap { $0 }
