// The sample catalogue a new shop begins with: a gift shop's shelves. Prices in cents.

import type { Product } from './shop.ts';

const shelves: Readonly<Record<string, readonly (readonly [sku: string, name: string, cents: number])[]>> = {
  Candles: [
    ['CAN-01', 'Beeswax candle, small', 490],
    ['CAN-02', 'Beeswax candle, tall', 890],
    ['CAN-03', 'Scented candle, fig', 1690],
    ['CAN-04', 'Scented candle, cedar', 1690],
    ['CAN-05', 'Tea lights, box of 12', 550],
    ['CAN-06', 'Brass candle holder', 2400],
    ['CAN-07', 'Glass lantern', 1950],
    ['CAN-08', 'Incense, sandalwood', 420],
    ['CAN-09', 'Linen spray, lavender', 1250],
  ],
  Kitchen: [
    ['KIT-01', 'Stoneware mug, blue', 1450],
    ['KIT-02', 'Stoneware mug, sand', 1450],
    ['KIT-03', 'Espresso cup and saucer', 1180],
    ['KIT-04', 'Olive wood spoon', 790],
    ['KIT-05', 'Olive wood board', 3200],
    ['KIT-06', 'Tea towel, striped', 950],
    ['KIT-07', 'Linen napkins, set of 2', 1890],
    ['KIT-08', 'Enamel jug', 2650],
    ['KIT-09', 'Jam jar labels', 320],
    ['KIT-10', 'Teapot, cast iron', 4900],
  ],
  Paper: [
    ['PAP-01', 'Birthday card', 350],
    ['PAP-02', 'Thank-you card', 350],
    ['PAP-03', 'Postcard, old town', 120],
    ['PAP-04', 'Postcard, harbour', 120],
    ['PAP-05', 'Notebook A5, dotted', 1290],
    ['PAP-06', 'Notebook A6, plain', 790],
    ['PAP-07', 'Wrapping paper, sheet', 290],
    ['PAP-08', 'Ribbon, 3 m', 220],
    ['PAP-09', 'Gift bag, medium', 380],
    ['PAP-10', 'Wall calendar', 1590],
    ['PAP-11', 'Fountain pen', 2890],
  ],
  Toys: [
    ['TOY-01', 'Wooden train', 2290],
    ['TOY-02', 'Spinning top', 460],
    ['TOY-03', 'Plush hare', 1990],
    ['TOY-04', 'Puzzle, 500 pieces', 1790],
    ['TOY-05', 'Memory game, animals', 1490],
    ['TOY-06', 'Kite, diamond', 1650],
    ['TOY-07', 'Soap bubbles', 190],
    ['TOY-08', 'Yo-yo, maple', 690],
  ],
  Home: [
    ['HOM-01', 'Picture frame 10×15 cm', 1290],
    ['HOM-02', 'Picture frame 20×30 cm', 2190],
    ['HOM-03', 'Cushion cover, rust', 2450],
    ['HOM-04', 'Wool throw', 6900],
    ['HOM-05', 'Ceramic vase, white', 2750],
    ['HOM-06', 'Dried flowers, bunch', 1480],
    ['HOM-07', 'Door wreath', 2980],
    ['HOM-08', 'Fridge magnet', 390],
    ['HOM-09', 'Wall hook, oak', 980],
  ],
  Jewellery: [
    ['JEW-01', 'Silver studs', 2900],
    ['JEW-02', 'Bead bracelet', 1490],
    ['JEW-03', 'Enamel pin', 650],
    ['JEW-04', 'Pendant, sea glass', 3400],
    ['JEW-05', 'Hair clip, tortoise', 890],
    ['JEW-06', 'Key ring, leather', 1190],
  ],
  Treats: [
    ['TRE-01', 'Honey, 250 g', 690],
    ['TRE-02', 'Chocolate bar, dark', 420],
    ['TRE-03', 'Salted caramels', 580],
    ['TRE-04', 'Herbal tea, 20 bags', 490],
    ['TRE-05', 'Shortbread tin', 1150],
    ['TRE-06', 'Soap, olive and sage', 590],
    ['TRE-07', 'Hand cream', 1090],
  ],
};

export const giftShop: readonly Product[] = Object.entries(shelves).flatMap(([category, products]) =>
  products.map(([sku, name, cents]) => ({ sku, name, category, cents })),
);
