/// B: the type 1 IOMMU driver.
let type1Cases: [Case] = []
