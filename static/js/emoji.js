// Emoji by name: those that people use most, under the names that other chats have for them.

const TABLE = `+1/thumbsup 👍 -1/thumbsdown 👎 heart ❤️ joy 😂 tada 🎉 open_mouth 😮 cry 😢 pray 🙏 eyes 👀 white_check_mark/check ✅ rocket 🚀 fire 🔥
smile 😄 smiley 😃 grinning 😀 grin 😁 laughing 😆 sweat_smile 😅 rofl 🤣 slightly_smiling_face 🙂 upside_down_face 🙃 wink 😉 blush 😊
innocent 😇 heart_eyes 😍 star_struck 🤩 kissing_heart 😘 smiling_face_with_three_hearts 🥰 yum 😋 stuck_out_tongue 😛
stuck_out_tongue_winking_eye 😜 zany_face 🤪 money_mouth_face 🤑 hugs 🤗 shushing_face 🤫 thinking 🤔 zipper_mouth_face 🤐
raised_eyebrow 🤨 neutral_face 😐 expressionless 😑 no_mouth 😶 smirk 😏 unamused 😒 roll_eyes 🙄 grimacing 😬 relieved 😌 pensive 😔
sleepy 😪 sleeping 😴 mask 😷 nauseated_face 🤢 sneezing_face 🤧 hot_face 🥵 cold_face 🥶 dizzy_face 😵 exploding_head 🤯 cowboy 🤠
partying_face 🥳 sunglasses 😎 nerd_face 🤓 monocle_face 🧐 confused 😕 worried 😟 frowning 🙁 astonished 😲 flushed 😳
pleading_face 🥺 fearful 😨 cold_sweat 😰 sob 😭 scream 😱 confounded 😖 disappointed 😞 sweat 😓 weary 😩 tired_face 😫 yawning_face 🥱
triumph 😤 rage 😡 angry 😠 skull 💀 poop 💩 clown 🤡 ghost 👻 alien 👽 robot 🤖 salute 🫡 melting_face 🫠
wave 👋 raised_hand ✋ ok_hand 👌 pinching_hand 🤏 v ✌️ crossed_fingers 🤞 love_you 🤟 metal 🤘 call_me_hand 🤙 point_left 👈
point_right 👉 point_up 👆 point_down 👇 fist ✊ punch 👊 clap 👏 raised_hands 🙌 open_hands 👐 handshake 🤝 writing_hand ✍️ muscle 💪
brain 🧠 ear 👂 shrug 🤷 facepalm 🤦 bow 🙇 raising_hand 🙋 no_good 🙅 ok_person 🙆 runner 🏃 dancer 💃
orange_heart 🧡 yellow_heart 💛 green_heart 💚 blue_heart 💙 purple_heart 💜 black_heart 🖤 white_heart 🤍 broken_heart 💔
sparkling_heart 💖 two_hearts 💕 100 💯 boom 💥 dizzy 💫 sweat_drops 💦 dash 💨 zzz 💤 speech_balloon 💬 thought_balloon 💭
dog 🐶 cat 🐱 mouse 🐭 hamster 🐹 rabbit 🐰 fox 🦊 bear 🐻 panda 🐼 lion 🦁 cow 🐮 pig 🐷 frog 🐸 monkey 🐒 see_no_evil 🙈 hear_no_evil 🙉
speak_no_evil 🙊 chicken 🐔 penguin 🐧 bird 🐦 owl 🦉 unicorn 🦄 bee 🐝 bug 🐛 butterfly 🦋 snail 🐌 turtle 🐢 snake 🐍 octopus 🐙
whale 🐳 dolphin 🐬 fish 🐟 elephant 🐘 crab 🦀
bouquet 💐 rose 🌹 sunflower 🌻 tree 🌳 cactus 🌵 herb 🌿 four_leaf_clover 🍀 mushroom 🍄 earth 🌍 moon 🌙 sun ☀️ star ⭐ star2 🌟
sparkles ✨ cloud ☁️ rainbow 🌈 umbrella ☔ zap ⚡ snowflake ❄️ snowman ⛄ ocean 🌊
apple 🍎 banana 🍌 watermelon 🍉 grapes 🍇 strawberry 🍓 lemon 🍋 avocado 🥑 tomato 🍅 bread 🍞 croissant 🥐 cheese 🧀 hamburger 🍔
fries 🍟 pizza 🍕 taco 🌮 sushi 🍣 popcorn 🍿 ice_cream 🍨 doughnut 🍩 cookie 🍪 birthday 🎂 cake 🍰 chocolate 🍫 coffee ☕ tea 🍵 beer 🍺
beers 🍻 champagne 🍾 wine 🍷 cocktail 🍸 clinking_glasses 🥂
soccer ⚽ basketball 🏀 trophy 🏆 medal 🏅 dart 🎯 game 🎮 dice 🎲 art 🎨 guitar 🎸 notes 🎶 microphone 🎤 headphones 🎧 movie 🎬 ticket 🎫
gift 🎁 balloon 🎈 confetti 🎊 ribbon 🎀 christmas_tree 🎄 jack_o_lantern 🎃
car 🚗 bike 🚲 train 🚆 airplane ✈️ ship 🚢 anchor ⚓ house 🏠 office 🏢 hospital 🏥 tent ⛺ mountain ⛰️ construction 🚧 ambulance 🚑
rotating_light 🚨 traffic_light 🚦 checkered_flag 🏁 triangular_flag 🚩 white_flag 🏳️ rainbow_flag 🏳️‍🌈 pirate_flag 🏴‍☠️
watch ⌚ hourglass ⏳ alarm_clock ⏰ phone 📱 telephone ☎️ computer 💻 keyboard ⌨️ printer 🖨️ floppy 💾 camera 📷 battery 🔋 plug 🔌 bulb 💡
flashlight 🔦 book 📖 books 📚 newspaper 📰 bookmark 🔖 label 🏷️ money 💰 dollar 💵 credit_card 💳 envelope ✉️ email 📧 inbox 📥 outbox 📤
package 📦 mailbox 📫 pencil ✏️ memo 📝 briefcase 💼 folder 📁 calendar 📅 chart 📈 chart_down 📉 clipboard 📋 pushpin 📌 paperclip 📎
scissors ✂️ wastebasket 🗑️ lock 🔒 unlock 🔓 key 🔑 hammer 🔨 wrench 🔧 gear ⚙️ link 🔗 microscope 🔬 telescope 🔭 satellite 📡 pill 💊
syringe 💉 door 🚪 bed 🛏️ toilet 🚽 shower 🚿 broom 🧹 soap 🧼 shield 🛡️ magnet 🧲 dna 🧬 test_tube 🧪 magic_wand 🪄 crystal_ball 🔮
x ❌ o ⭕ no_entry ⛔ stop 🛑 warning ⚠️ question ❓ exclamation ❗ bangbang ‼️ heavy_check ✔️ plus ➕ minus ➖ recycle ♻️
arrow_up ⬆️ arrow_down ⬇️ arrow_left ⬅️ arrow_right ➡️ arrows_counterclockwise 🔄 back 🔙 soon 🔜 new 🆕 free 🆓 cool 🆒 ok 🆗 sos 🆘
red_circle 🔴 orange_circle 🟠 yellow_circle 🟡 green_circle 🟢 blue_circle 🔵 white_circle ⚪ black_circle ⚫ bell 🔔 no_bell 🔕 mega 📣
loudspeaker 📢 mute 🔇 sound 🔊 mag 🔍 infinity ♾️`;

/** @typedef {{names: string[], emoji: string}} Named */

const words = TABLE.split(/\s+/);
/** All of them, the most used first. @type {ReadonlyArray<Named>} */
export const EMOJI = words.flatMap((emoji, i) => (i % 2 === 1 ? [{ names: (words[i - 1] ?? '').split('/'), emoji }] : []));

const byName = new Map(EMOJI.flatMap(({ names, emoji }) => names.map((name) => [name, emoji])));

/**
 * The emoji of a name, undefined where there is none.
 * @param {string} name
 */
export function named(name) {
  return byName.get(name.toLowerCase());
}

/**
 * Those whose names begin with these letters, then those that have them elsewhere.
 * @param {string} letters
 * @param {number} [most]
 * @returns {Array<{name: string, emoji: string}>}
 */
export function search(letters, most = Infinity) {
  const wanted = letters.toLowerCase().replaceAll(' ', '_');
  /** @param {(name: string) => boolean} fits */
  const those = (fits) => EMOJI.flatMap(({ names, emoji }) => {
    const name = names.find(fits);
    return name === undefined ? [] : [{ name, emoji }];
  });
  const begin = those((name) => name.startsWith(wanted));
  const have = those((name) => name.includes(wanted));
  return [...begin, ...have.filter(({ emoji }) => !begin.some((each) => each.emoji === emoji))].slice(0, most);
}
