/// F.1 to F.7 and A.9: iommufds, devices' own nodes, and groups without an IOMMU.
let compatCases: [Case] =
    unboundNodeCases + unprotectedCases + iommufdCases + bindCases + attachCases + addressSpaceCases
    + spaceMapCases + spaceUnmapCases + copyCases + optionCases + pageTableCases + chosenSpaceCases
    + compatContainerCases + compatMapCases + compatUnmapCases + ownTableCases + hardwareInfoCases
    + fileMapCases + virtualObjectCases + trackingCases + nestingCases
