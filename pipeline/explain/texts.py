"""Texts of `make explain`: titles, leads, captions, notes, warnings and messages, by panel.

Owns every text that a reader of the gallery or of the terminal sees, as templates with named placeholders.
Does not own when a text is shown. Text in backticks is shown as code.
"""

from pipeline.core.language import _

# --- Images and maps, shared by the panels
TITLE_TOLD = "{key}: {told}"
TITLE_TEST = "{key}: predicted {predicted} ({p_predicted}), second {rival} ({p_rival})"
TITLE_ERROR = "{key}: true {true} ({p_true}), predicted {predicted} ({p_predicted})"
TITLE_CORRECT = "{key}: correctly predicted {predicted} ({p_predicted}), second {rival} ({p_rival})"
TITLE_WITHOUT = ". Image {number} of {of}; without it {name} has {after} instead of {before}"
RIVAL_IS_TRUE = "{rival} (true class)"
IMAGE_TITLE = "{key}, as the network sees it"
MAP_EMPTY = "{caption}: nothing found"
MAP_FLAT = "{caption}: the same value everywhere"
FOR_CLASS = "for {name}"
NO_IMAGE = "No image was selected; name images with ID."

# --- The scene
UNKNOWN_FOLD = _("FOLD={fold}: {experiment} has the folds {folds}")
SEEN_BY_ALL = _("{key}: not in the validation part of any of the folds {folds}, so every network was trained on it")
NO_UNSEEN_NETWORK = _("ID: every network was trained on {n} of these training images")
ONE_OF_BAG = "{n} models vote in fold {fold}; the one with the largest share ({share}) is shown."
MEAN_OF_HEADS = "The mean logits of {n:head} are explained, whereas a prediction is the mean of their probabilities."
NO_MAP = _("explain: no layer of this network has an output of more than one cell over the image")
NOT_A_MAP = _("`{name}`: its output is not a map over the image")
LAYERS_REFUSED = _("explain: {n} of the layers in the settings cannot be shown")

# --- The page and the terminal
BY_UNSEEN_FOLD = "Each training image is explained by the network of the fold that never saw it"
BY_ONE_FOLD = ", a test image by the network of one fold"
LEAD_NAMED = "The images that ID names. {by}."
LEAD_ERRORS = "The {n} worst out-of-fold errors, spread over the confused pairs of classes. {by}."
LEAD_DOUBTFUL = "There is no out-of-fold error; these images have the least certain predictions. {by}."
LINE = _("{n_images:image}, {n_panels:panel}: {names}")
RUN_OF_KEY = _("RUN=key:{key}: {n} finished runs have a key that starts so")
BEST_FINISHED = _("explain         {experiment}, the best of {n} finished networks ({metric} {score:.4f}); choose another with RUN=…")

# --- cam
CAM_TITLE = "Class activation maps"
CAM_LEAD = "Where the network finds evidence for a class: deep feature maps, each weighted by its effect on the logit. Bright areas are evidence for the class. A map shows where the network looked, not whether that is right."
CAM_CELLS = "{caption}, {h} × {w} cells"
CAM_CONTRAST = "red is evidence for {own} rather than {rival}, blue for the opposite"
CAM_CONTRAST_GROUP = "why {own} and not {rival}"
CAM_FADED = "Not a finding: {names} found nothing, or the same value everywhere."
CAM_LAYER = "Grad-CAM reads `{layer}`: {h} × {w} cells over the image."
CAM_LAST_LAYER = "The last layer, `{layer}`, has only {h} × {w} cells, fewer than explain.min_grid; CAM can only read that one."
CAM_UNDEFINED = "CAM is not defined here: it needs average pooling and one linear layer directly after the last feature maps."
CAM_GUIDED = "Guided Grad-CAM is {why}."
CAM_PACKAGE = "The weights come from the package grad-cam; maps keep their sign and are not rescaled to 0…1."
CAM_COARSE = "{cells} cells are too few to separate object and background: use larger images (images.size)."

# --- gradients
GRADIENTS_TITLE = "Gradients of the pixels"
GRADIENTS_LEAD = "How much each pixel changes the logit. The three methods differ only in the backward pass of a rectifier: saliency passes a gradient back where the unit was active; deconvolution where the gradient itself is positive, whether the unit was active or not; guided backprop where both are true."
GRADIENTS_SMOOTH = "not defined here: this network's activations are {names}, which are not rectifiers"
GRADIENTS_NO_RECTIFIER = "not defined here: this network has no rectifier"
GRADIENTS_ZERO = "{caption}: zero gradient"
GRADIENTS_ALL_ZERO = "The gradient of {names} is zero at every pixel, so these pictures are not a finding."
GRADIENTS_UNDEFINED = "Deconvolution and guided backprop are {why}."
GRADIENTS_READING = "Deconvolution ignores which units were active: without pooling switches it hardly depends on the image or the class. Brightness shows the size of the gradient; guided backprop shows its colours, with grey as zero."

# --- occlusion
OCCLUSION_TITLE = "Occlusion"
OCCLUSION_LEAD = "How much the prediction drops when a region is hidden: bright where hiding it lowers the odds of the class. The method needs only predictions and no gradients, so if a map disagrees with it, trust occlusion."
OCCLUSION_LOWERS = "hiding lowers {name}"
OCCLUSION_RAISES = "hiding raises {name}"
OCCLUSION_HOW = "A square with a side of {window} of the shorter image side moves in steps of {stride} of its own side and is replaced by {baseline} (explain.occlusion)."
OCCLUSION_BASELINES = {"blur": "the blurred image", "mean": "the mean colour of the image"}
OCCLUSION_NOTHING = "Hiding any single square hardly changes {name}."
OCCLUSION_DROP = "Hiding the most important square changes {name} from {before} to {after}."

# --- The sanity check of cam, gradients and occlusion
SANITY_GROUP = "the same method on random weights"
SANITY_UNKNOWN = "unknown: too few cells, or a map with the same value everywhere"
SANITY_ALIKE = "mostly the structure of the image itself: random weights give nearly the same picture"
SANITY_UNLIKE = "depends on what was learned: random weights give a different picture"
SANITY_BETWEEN = "mixed: part of the picture comes from the image alone"
SANITY_TITLE = "Sanity check: random weights"
SANITY_COLUMNS = ("method", "images", "mean", "lowest", "highest", "meaning")
SANITY_NOTE = "Rank correlation between each map and the map of the same network with shuffled weights: 1 is the same order, 0 no relation. From {alike:g} on, maps count as alike, up to {unlike:g} as different: a convention, not a test (Adebayo et al. 2018)."

# --- attention
ATTENTION_TITLE = "Object or background?"
ATTENTION_LEAD = "Share of Grad-CAM's attention that is on the background, for images that the network never saw. A map with the same value everywhere would put exactly the background's share of the area there; more than that suggests that the network uses a shortcut."
ATTENTION_OFF = "Not measured: explain.attention_images=0."
ATTENTION_TABLE = "Attention on the background, by true class"
ATTENTION_COLUMNS = (
    "class", "images", "groups", "attention on background", "background area", "difference", "",
)  # fmt: skip
ATTENTION_FEW = ", too few groups"
ATTENTION_NOTE = "The interval of the difference resamples groups and is widened for the number of classes. Below {few} groups there is no interval and no conclusion."
ATTENTION_OBJECTS = {
    "box": "Objects are the boxes of crop.boxes.",
    "border": "No boxes are known: the object is taken to be whatever differs from the colour of the border. "
    "That is a guess for objects on a plain background; set crop.boxes to mark the objects.",
}
ATTENTION_USED = "{used} of {tried} images were used: the others have no recognisable object, or an empty map."
ATTENTION_BLUR = "Maps have {h} × {w} cells and are blurred across the edge of an object, so some attention falls next to it."
ATTENTION_NONE = "Unknown: in none of {tried} images does an object differ from the border; provide boxes with crop.boxes."

# --- activations, patches, filters
UNITS_CAUTION = "A channel is described by what excites it. That is not a proof: it may respond to something that these images merely have in common."
UNITS_GATES = " This network has squeeze-and-excitation: besides its receptive field, a unit receives one number per channel from the whole image, which is not counted here."
UNITS_ALL = "all {n:,} out-of-fold images (the backbone is frozen and was trained on none of them)"
UNITS_OF_FOLD = "the {n:,} images of fold {fold}, which its network was not trained on"
UNITS_CHANNELS = _("{setting}: {layer} has channels 0 to {last}")
UNITS_NO_CHANNEL = _("there is no channel {channel}")
UNITS_NAME_LAYERS = _("also name layers, so that each of them has these channels")
UNITS_LAYER_GROUP = "{layer}: {channels} channels of {h} × {w}"
ACTIVATIONS_TITLE = "Layer activations"
ACTIVATIONS_LEAD = "How strongly single channels of a layer respond to an image, place by place. For each layer, the channels with the most unusual response to this image are shown, with the number of standard deviations by which their strongest response exceeds their mean over images that the network was not trained on."
ACTIVATIONS_COARSE = "Not shown: {layers}. Their maps have fewer than {least} cells on a side and show no place; `explain.units.layers` shows them."
ACTIVATIONS_SCALE = "Each map has its own scale, from its smallest to its largest value: compare maps by shape, not by strength. Red is above zero, blue below; a layer that ends in a rectifier has nothing below zero."
ACTIVATIONS_CAPTION = "channel {channel}: {response}"
ACTIVATIONS_SD = "{z:+.1f} SD"
ACTIVATIONS_DEAD = "same response to all images"
ACTIVATIONS_PICTURE = "activation of channel {channel} of {layer} on {key}"
LAYERS_TABLE = "Layers of fold {fold}"
LAYERS_COLUMNS = ("layer", "channels", "map", "dead channels", "share")
LAYERS_NOTE = "A dead channel has the same response to every image, so it affects no decision. Measured on {images}."
PATCHES_TITLE = "Patches that excite a channel most"
PATCHES_LEAD = "For each layer, the channels whose strongest images stand out most from the rest, and the patch of each image where the channel responds most. A channel responds to what its patches have in common."
PATCHES_SEARCHED = "Searched: {images}. One patch per image. Channels of different folds' networks are unrelated, so the search never mixes networks."
PATCHES_CROP = "The crop is the receptive field, measured on the network itself: every pixel that can influence the unit, and no other. After Zeiler and Fergus 2014 (https://arxiv.org/abs/1311.2901)."
PATCHES_CHANCE = " Channels were chosen because they stand out, so some will look like a class by chance."
PATCHES_TOKENS = "{layers}: not cropped. A receptive field is not defined for a transformer's tokens: attention lets each of them see the whole image. The frame marks the token's own place."
PATCHES_WHOLE = "{layers}: not cropped, because some of their units see the whole image (a deep layer, or one that mixes all places, as attention does). The frame marks the unit's own place."
PATCHES_NOTE = "{classes}; on average {z:.1f} standard deviations above the mean image.{dead}"
PATCHES_DEAD = " It has the same response to every image."
PATCHES_ROW = "{layer}, channel {channel} (fold {fold})"
PATCHES_PICTURE = "train/{id}, {name}: activation {value:.3g}"
FIELDS_TABLE = "What a unit of each layer sees (fold {fold})"
FIELDS_COLUMNS = ("layer", "channels", "dead channels", "map", "receptive field")
FIELDS_WHOLE = "the whole image"
FIELDS_NOTE = "Dead channels have the same response to every image. A unit at the border sees less."
FILTERS_TITLE = "First-layer filters"
FILTERS_LEAD = "The weights of the first convolution as colours of the pixels that they are applied to: grey is a weight of zero, and a filter responds most to a patch that looks like it. Each filter has its own scale."
FILTERS_NONE = "This network has no convolution on the channels of the image."
FILTERS_TABLE = "First convolution: {name}"
FILTERS_COLUMNS = ("filters", "size", "near copies of another", "almost zero weights")
FILTERS_NOTE = "A copy, up to its sign, or a filter with almost zero weights adds nothing."
FILTERS_ROW = "{name} of fold {fold}, largest weight first"
FILTERS_CAPTION = "{number}: up to {largest:.2g}"
FILTERS_SMALL = "Filters of {h} × {w} are too small to look like anything; larger ones show edges, colours and gratings after good training, and noise after too little."
FILTERS_LARGE = "Smooth edges, colours and gratings indicate good training; noise indicates too little training, or too large a learning rate."

# --- synthesis
SYNTHESIS_TITLE = "Class visualisation"
SYNTHESIS_LEAD = "Images made by gradient ascent, I* = argmax f(I) − λ‖I‖²: in each step every pixel moves in the direction in which the score f of a class (its logit), or of a channel (its mean), rises."
SYNTHESIS_CAPTION = "from {start}: {first} → {last}{probability}"
SYNTHESIS_PROBABILITY = ", probability {p}"
SYNTHESIS_FELL = "The score did not rise for {names}: these images mean nothing."
SYNTHESIS_FROM = "{name} from {start}"
SYNTHESIS_ROW = "Images by gradient ascent"
SYNTHESIS_TABLE = "Scores before and after"
SYNTHESIS_COLUMNS = ("class or channel", "start", "score before", "score after", "‖I‖² per pixel")
SYNTHESIS_TABLE_NOTE = "Scores are logits, or mean activations, of the image without jitter."
SYNTHESIS_CHANNEL = "{layer}, channel {channel}"
SYNTHESIS_CURVES = "The score by step, starting from {start}"
SYNTHESIS_UNKNOWN = "explain.synthesis.classes: {n} unknown"
SYNTHESIS_CLASSES = "known classes: {names}"
SYNTHESIS_HOW = "By the network of fold {fold}: {steps} steps of Adam with learning rate {rate}, λ = {penalty} on the mean squared distance of a pixel from the mean colour, shifted by up to {jitter_px} px before each step, blurred by {blur_px} px every {blur_every} steps."
SYNTHESIS_READING = "An image shows what raises the score most, which need not look like the class: a network can be certain of an image that no person would recognise. Colours or a background that return in every image of a class are worth checking in the data."
SYNTHESIS_LOGIT = "The score is the logit, because the probability would also rise if the other classes fell (Simonyan et al. 2014, https://arxiv.org/abs/1312.6034)."

# --- neighbours
NEIGHBOURS_TITLE = "Nearest training images"
NEIGHBOURS_LEAD = "For each image, the training images with the most similar features of the network (cosine similarity), and those with the most similar pixels. Where the two differ, the network uses more than pixels."
NEIGHBOURS_MARKS = "Marks: `same group`, the same person or object; `near-duplicate`, the same picture saved, scaled or cropped again; `other label`, a class other than this image's; `held out too`, of the same validation part, so this network was not trained on it. The network was trained on all neighbours without this last mark."
NEIGHBOURS_READING = "Neighbours of other groups that have the predicted class instead of the label suggest a wrong label, or classes that these features cannot separate; look at the images before you change a label."
NEIGHBOURS_PIXELS = "Pixels are compared at {size} px by Euclidean distance."
NEIGHBOURS_GROUP = "by {space}, nearest first"
NEIGHBOURS_PICTURE = "{rank}. by {space}: train/{id}, {caption}, distance {distance:.3g}"
NEIGHBOURS_NONE = "All neighbours are of its own group or copies of it, so they say nothing about the class."
NEIGHBOURS_PREDICTED = "{n} neighbours by features are of other groups: {count} {name} (as predicted)"
NEIGHBOURS_LABELLED = ", {count} {name} (as labelled)"
NEIGHBOURS_OTHERS = ", {count} of other classes."
NEIGHBOURS_TABLE = "Classes of the {k} nearest"
NEIGHBOURS_COLUMNS = (
    "image", "label", "predicted",
    "by features: as labelled", "by features: as predicted", "by features: own group or copy",
    "by pixels: as labelled", "by pixels: as predicted", "by pixels: own group or copy",
)  # fmt: skip
NEIGHBOURS_NOTE = "Own group and copies are counted separately, because they are near for another reason."

# --- embedding
EMBEDDING_TITLE = "Map of the features"
EMBEDDING_LEAD = "Each point is an image, placed by t-SNE so that images with similar features are close; hover over it, or reach it with Tab and the arrow keys, to see it. Distances between clusters, their sizes and the space between them mean nothing. The table first shows how many independent directions the features have: features that repeat each other would count several times."
EMBEDDING_MAY = "You may conclude: images that stay close to each other on every map are near in feature space, and if an error is among images of another class, these features cannot separate it from them."
EMBEDDING_MAY_NOT = "You may not conclude: distances between clusters, their sizes, their densities and the empty space between them mean nothing; the axes mean nothing; t-SNE draws clusters from pure noise too. Trust only what all maps show, and check it on the nearest training images."
EMBEDDING_FEW = "A map needs {least} images that the network was not trained on; there are {n}."
EMBEDDING_SAME = "The features are the same for every image: this network cannot tell images apart."
EMBEDDING_CORRELATIONS = "Correlations of the features that vary most: strong blocks are features that repeat each other"
EMBEDDING_MAP = "Map {number}, from its own random start: trustworthiness {trust:.3f}"
EMBEDDING_TABLE = "Before the map"
EMBEDDING_COLUMNS = ("figure", "value", "meaning")
EMBEDDING_RANK = "independent directions that carry the variance"
EMBEDDING_PAIRS = "features that repeat each other"
EMBEDDING_WHITE = "principal components that the map is made from"
EMBEDDING_TRUST = "1: the neighbours of a point on the map are its neighbours in feature space; .5: chance"
EMBEDDING_AGREEMENT = "of a point's {near} neighbours are the same on two maps"
EMBEDDING_CLASS = "{share}, by chance {chance}"
EMBEDDING_CLASS_MEANING = "of the {near} nearest images of other groups, in feature space itself"
EMBEDDING_HOW = "Made from {n:,} of {images}; features of the network of fold {fold}, whitened to {components} principal components, perplexity {perplexity:g}, {seeds} random starts. Networks of different folds are never mixed: each has its own feature space, and the map would separate the folds. Trustworthiness after Venna and Kaski 2001, effective rank after Roy and Vetterli 2007."
EMBEDDING_COLLINEAR = "Collinear: {facts}. Distances on the raw features would count these few directions many times, so the map below is made from whitened features."
EMBEDDING_NOT_COLLINEAR = "Not strongly collinear: {facts}."
EMBEDDING_FACTS = "{features} features vary like about {rank:.1f} independent directions (effective rank), and {similar:.1f} % of all pairs correlate beyond ±{threshold}{constant}"
EMBEDDING_CONSTANT = "; {n} more never vary"
EMBEDDING_LOW_TRUST = "Trustworthiness is {trust:.2f} at worst: many neighbours on the map are not neighbours in feature space."
EMBEDDING_DISAGREE = "The maps share {share} of a point's neighbours (by chance {chance}): most of what one map shows depends on its seed."
OF_SEVERAL = "Samples have several images: each image is explained while the others of its sample stay as they are, and each point, neighbour or patch is one image."
METADATA_AT_MEAN = "the maps are about the image alone: metadata is left out, so probabilities differ from those of the report"

# One label or value as classes.
NO_COLUMN = "LABEL names a label or a value, and competition.target={target} has classes, which are shown together"
WORST_COLUMN = " {name} is the worst out of fold; LABEL=… shows another."
VIEW_OF_LABEL = "Everything below is about the label {name}."
VIEW_OF_VALUE = "Everything below is about the value {name}, against its median {middle}: evidence for “higher” raises the predicted value, and shares in % only say how far it is from the median."
VIEW_OF_SHARES = "The true class of an image is the one with the largest share."
LOWER, HIGHER = "lower {name}", "higher {name}"
TRUE_VALUE, PREDICTED_VALUE = "true {value}, ", "predicted {name} {value}"
NO_LABEL = "none"
