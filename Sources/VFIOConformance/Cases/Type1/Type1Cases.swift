/// B: the type 1 IOMMU driver.
let type1Cases: [Case] = [
    type1InfoCases, mapCases, mapMemoryCases, mapPlaceCases, unmapCases, unmapVersion1Cases, addressCases,
    dirtyRequestCases, dirtyBitCases, lockedMemoryCases, type1GroupCases, emulatedCases,
].flatMap { $0 }
