/// A.1 to A.7, A.10 to A.12: containers, groups, devices, and what becomes of each when another goes.
let coreCases: [Case] = [
    lifeCycleCases, groupCases, containerCases, deviceNameCases, deviceFileCases, deviceInfoCases,
    virtualMachineCases, unplugCases, viabilityCases,
].flatMap { $0 }
